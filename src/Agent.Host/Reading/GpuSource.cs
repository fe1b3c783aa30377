using Agent.Core;
using Agent.Sender;
using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>
/// The GPUs, from whoever tells: NVIDIA's library, and where that does not work nvidia-smi. Read on a thread of its own,
/// so that a call that hangs holds up nobody else.
/// </summary>
internal sealed class GpuSource
{
    /// <summary>A library that was open and cannot be opened again is waited for so long before nvidia-smi is asked instead.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>So long the first reading waits for nvidia-smi.</summary>
    private static readonly TimeSpan FirstAnswer = TimeSpan.FromSeconds(3);

    /// <summary>A single sample waits so long for NVIDIA's library: without persistence mode it starts the boards first.</summary>
    private static readonly TimeSpan LongestLibraryStart = TimeSpan.FromSeconds(30);

    /// <summary>And so long for nvidia-smi, which by then has ended or was killed.</summary>
    private static readonly TimeSpan LongestProgramStart = NvidiaSmiSource.LongestStart + TimeSpan.FromSeconds(2);

    /// <summary>After that wait the thread here takes so long at most to pass on what was heard.</summary>
    private static readonly TimeSpan Handover = TimeSpan.FromSeconds(1);

    /// <summary>Where no GPU is reported, the next attempt is made after this time.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(30);

    /// <summary>Where a call keeps the GPUs from being released it is tried again after this time.</summary>
    private static readonly TimeSpan NextTry = TimeSpan.FromSeconds(1);

    /// <summary>In the place of the instant since which a call lasts.</summary>
    private const long NoCall = -1;

    /// <summary>Nobody needs to look at a machine whose GPUs can be read.</summary>
    private static readonly GpuSurroundings Unseen = new(default, "", GpuNodes.Usable);

    private readonly Settings settings;
    private readonly AgentClock clock;
    private readonly TimeSpan longestAge;
    private readonly SlowSource<GpuReading> thread;
    private readonly NvmlSource? library;
    private readonly Action<string, Exception>? onDefect;
    private volatile NvidiaSmiSource? program;
    private volatile bool isReleased;
    private volatile bool isFree;
    private NvidiaSmiSource? ending;
    private Gpu[] known = [];
    private long callSince = NoCall;
    private long askedAt = NoCall;
    private Told? told;
    private volatile GpuFinding? finding;
    private volatile SourceError[] unlisted = [];
    private SourceError[] unlistedBefore = [];
    private int listed = int.MaxValue;
    private TimeSpan lookAt;

    /// <summary>Nothing is read before <see cref="Start"/>.</summary>
    /// <param name="settings">Who is asked, and where /proc and /sys are.</param>
    /// <param name="longestAge">A reading that is older is not told as the present.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="onDefect">Takes what nobody foresaw on one of its threads; null lets it end the program.</param>
    public GpuSource(Settings settings, TimeSpan longestAge, AgentClock clock, Action<string, Exception>? onDefect = null)
    {
        this.settings = settings;
        this.longestAge = longestAge;
        this.clock = clock;
        library = settings.GpuReader is GpuReader.Auto or GpuReader.Nvml
            ? new(settings.NvmlLibrary, settings.ProcFs, settings.SysFs, settings.Interval, longestAge, clock, onDefect)
            : null;
        thread = new("gpu", clock, longestAge, Read, onDefect);
        this.onDefect = onDefect;
    }

    /// <summary>The newest reading that is young enough; null while there is none.</summary>
    public GpuReading? Newest => program is { } asked ? asked.Newest : thread.Newest;

    /// <summary>What jobs did on the GPUs in use; nothing before <see cref="WatchWork"/>, nor from nvidia-smi, which does not tell it.</summary>
    public GpuWork[] Work => program is null && !isReleased ? library?.Work ?? [] : [];

    /// <summary>From now on what jobs do on GPUs is read as well.</summary>
    public void WatchWork() => library?.WatchWork();

    /// <summary>The name that metrics tell its state by.</summary>
    public string Name => thread.Name;

    /// <summary>What the newest reading by the library took; null before the first, and while nvidia-smi tells by itself.</summary>
    public TimeSpan? Took => program is null ? thread.Took : null;

    /// <summary>Which GPUs there are, or why there are none; null before the first answer.</summary>
    public GpuFinding? Finding => Hanging is { Length: > 0 } hanging
        ? GpuDiagnosis.Finding(new(
            settings.GpuReader, Unseen, Nvml.State.NotTried, NvidiaSmiState.NotAsked, new([], []), $"{Nvml.Source}: {hanging}"))
        : finding;

    /// <summary>What the newest reading could not read.</summary>
    public SourceError[] Faults => SourceErrors.Together(
        Hanging is { Length: > 0 } hanging ? [SourceError.NewUnreadable(Nvml.Source, hanging)] : [],
        library?.Hanging ?? [],
        library?.WorkFaults ?? [],
        unlisted,
        (program is { } asked ? FaultsOf(asked) : thread.Last?.Faults) ?? []);

    /// <summary>Says so when a call of the library has not returned for too long.</summary>
    private string Hanging =>
        Volatile.Read(ref callSince) is var since and not NoCall && clock.Elapsed.Ticks - since > longestAge.Ticks
            ? $"a call has not returned for {longestAge.TotalSeconds:0.#} s; until it does there are no GPUs in the samples"
            : "";

    /// <summary>
    /// While true neither NVIDIA's library nor nvidia-smi is in use, so that a GPU can be reset, divided or handed to another machine;
    /// the GPUs keep their places in the samples, without values.
    /// </summary>
    public bool IsReleased
    {
        get => isReleased;
        set
        {
            isFree = false;
            isReleased = value;
            thread.Refresh();
        }
    }

    /// <summary>True once nothing of the driver is in use because of <see cref="IsReleased"/>: no call is under way any more.</summary>
    public bool IsFree => isReleased && isFree;

    /// <summary>Starts reading.</summary>
    public void Start()
    {
        if (settings.GpuReader == GpuReader.None)
        {
            Tell(new([], []), null);
            return;
        }

        thread.Start();
    }

    /// <summary>Ends reading without waiting for what hangs.</summary>
    public void Stop()
    {
        thread.Stop();
        library?.Stop();
        program?.Stop();
    }

    /// <summary>
    /// Waits for the first answer until the given instant of the clock. A single sample has no other after it that could tell of GPUs, and
    /// waits for as long as whoever is asked may take.
    /// </summary>
    public void WaitForFirst(TimeSpan until)
    {
        if (settings.GpuReader == GpuReader.None)
        {
            return;
        }

        thread.WaitForFirst(settings.Once ? clock.Elapsed + LongestLibraryStart : until);

        if (settings.Once && Volatile.Read(ref askedAt) is var asked and not NoCall)
        {
            thread.WaitForFirst(TimeSpan.FromTicks(asked) + LongestProgramStart + Handover);
        }
    }

    private SlowReading<GpuReading> Read()
    {
        if (isReleased)
        {
            Release();
            library?.Release();
            isFree = library is not { IsOpen: true } && ending is not { HasEnded: false };
            var next = isFree || settings.Interval < NextTry ? settings.Interval : NextTry;
            return new(new([.. known.Select(static gpu => gpu.WithoutValues)], []), next);
        }

        var reading = ReadAll();
        known = reading.Value.Gpus.Length > 0 ? reading.Value.Gpus : known;
        return reading;
    }

    private SlowReading<GpuReading> ReadAll()
    {
        if (library is not null && ReadLibrary() is { } reading)
        {
            Release();
            LookForOthers(reading.Gpus, isWhole: true);
            Tell(reading, null);
            return new(reading, settings.Interval);
        }

        if (MayAskProgram() && program is null)
        {
            var start = NvidiaSmiProcess.NewProgram(clock);
            start.Limit = settings.Once ? NvidiaSmiSource.LongestStart : start.Limit;
            // What is read for a single sample is of that sample, however long it takes to hear of the processes as well.
            var age = settings.Once ? TimeSpan.MaxValue : longestAge;
            var asked = new NvidiaSmiSource(settings.Interval, age, !settings.Once, settings.ProcFs, start, clock, onDefect,
                () => GpuPlaces.Asleep(settings.SysFs));
            Volatile.Write(ref askedAt, clock.Elapsed.Ticks);
            asked.Start();
            asked.WaitForFirst(clock.Elapsed + (settings.Once ? LongestProgramStart : FirstAnswer));

            program = asked;
        }

        var found = program?.Newest ?? new([], program is null ? LibraryFaults() : []);
        LookForOthers(found.Gpus, isWhole: false);
        Tell(found, program);

        // Whoever waits for a library that was open, or for a program's first answer, looks often.
        var isQuiet = found.Gpus.Length == 0
            && found.Faults.Length == 0
            && library is not { WasOpen: true }
            && program is null or { Error: not null };
        return new(found, isQuiet ? LookAgain : settings.Interval);
    }

    // Without a word an empty list would say that the machine has no GPUs.
    private SourceError[] FaultsOf(NvidiaSmiSource asked) =>
        settings.Once && !asked.IsSettled && asked.Newest is null
            ? [SourceError.NewUnreadable(NvidiaSmi.Source, $"no answer within {LongestProgramStart.TotalSeconds:0} s; the sample has no GPUs")]
            : asked.Faults;

    private GpuReading? ReadLibrary()
    {
        Volatile.Write(ref callSince, clock.Elapsed.Ticks);

        try
        {
            return library!.Read();
        }
        finally
        {
            Volatile.Write(ref callSince, NoCall);
        }
    }

    private bool MayAskProgram() => settings.GpuReader switch
    {
        GpuReader.NvidiaSmi => true,
        GpuReader.Auto => !library!.State.IsOpened && (!library.WasOpen || clock.Elapsed - library.ClosedSince > Patience),
        _ => false,
    };

    private void Release()
    {
        var asked = program;
        program = null;
        asked?.Stop();
        ending = asked ?? ending;
    }

    private SourceError[] LibraryFaults()
    {
        var fault = library?.State.Match(
            notTried: static () => "",
            notLoaded: problem => settings.GpuReader == GpuReader.Nvml || library.WasOpen ? problem : "",
            failed: Nvml.NameOf,
            opened: static _ => "");

        return fault is { Length: > 0 } ? [SourceError.NewUnreadable(Nvml.Source, fault)] : [];
    }

    /// <summary>
    /// A board that fell off the bus is not listed any more once the library was opened again. One that was just bound to the driver is not listed
    /// yet: a board counts as missing if there were more before, or when it is still not listed after the library has looked for new ones.
    /// </summary>
    private void LookForOthers(Gpu[] gpus, bool isWhole)
    {
        if (gpus.Length != listed || clock.Elapsed >= lookAt)
        {
            var found = GpuPlaces.Unlisted(settings.ProcFs, gpus);
            unlisted = isWhole && gpus.Length < listed ? found : [.. found.Where(unlistedBefore.Contains)];
            unlistedBefore = found;
            listed = gpus.Length;
            lookAt = clock.Elapsed + LookAgain;
        }
    }

    /// <summary>Finds out anew which GPUs there are and why not, if what was told has changed.</summary>
    private void Tell(GpuReading listedOnly, NvidiaSmiSource? asked)
    {
        var reading = new GpuReading(listedOnly.Gpus, SourceErrors.Together(listedOnly.Faults, unlisted));
        var now = new Told(library?.State ?? Nvml.State.NotTried, asked?.Error, reading.Gpus.Length, reading.Faults);

        if (!now.IsLike(told))
        {
            told = now;
            finding = GpuDiagnosis.Finding(new(
                settings.GpuReader,
                reading.Gpus.Length > 0 ? Unseen : GpuPlaces.Look(settings.SysFs, settings.ProcFs),
                now.Library,
                StateOf(asked),
                reading,
                ""));
        }
    }

    private static NvidiaSmiState StateOf(NvidiaSmiSource? asked) =>
        asked is null ? NvidiaSmiState.NotAsked
        : asked.Error is not { } error ? NvidiaSmiState.Told
        : error.IsAbsent ? NvidiaSmiState.Missing
        : asked.Failure is { } failure ? NvidiaSmiState.NewFailed(failure, error.ToString())
        : NvidiaSmiState.Hung;

    private sealed record Told(Nvml.State Library, SourceError? Program, int Gpus, SourceError[] Faults)
    {
        public bool IsLike(Told? other) =>
            other is not null
            && Gpus == other.Gpus
            && Library.Equals(other.Library)
            && Equals(Program, other.Program)
            && Faults.AsSpan().SequenceEqual(other.Faults);
    }
}
