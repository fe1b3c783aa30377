using Agent.Core;
using Agent.Core.Gpu;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// The GPUs by libnvidia-ml. One thread, its caller's, opens the library, asks what changes from second to second, and
/// opens it again after a lost GPU or a new driver. What takes long and XID events have threads of their own. A call
/// that hangs holds up the thread that made it and no other, unless the library itself makes them wait.
/// </summary>
internal sealed class NvmlSource
{
    /// <summary>From one round of costly queries to the next, at least.</summary>
    private static readonly TimeSpan CostlyPeriod = TimeSpan.FromSeconds(5);

    /// <summary>From one reading of what jobs do to the next.</summary>
    private static readonly TimeSpan WorkPeriod = TimeSpan.FromSeconds(2);

    /// <summary>An installation of the driver is noticed after this time.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(30);

    /// <summary>So long the first reading waits for the first costly ones.</summary>
    private static readonly TimeSpan FirstCostly = TimeSpan.FromSeconds(1.5);

    /// <summary>After so long without trouble it counts as over.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromMinutes(1);

    /// <summary>A thread that has not left by then hangs in a call.</summary>
    private static readonly TimeSpan LongestCall = TimeSpan.FromSeconds(10);

    private readonly Action<string, Exception>? onDefect;
    private readonly string path;
    private readonly string procFs;
    private readonly TimeSpan longestAge;
    private readonly TimeSpan longestCostlyAge;
    private readonly AgentClock clock;
    private readonly SlowSource<CostlyReading> costly;
    private readonly SlowSource<GpuWorkReading> work;
    private readonly RuntimePower power;
    private readonly XidCounts xids = new();
    private readonly ProcessNames names;
    private readonly object gate = new();
    private CostlyReading newestCostly = CostlyReading.None;
    private volatile bool isWorkWatched;
    private bool isUsed;
    private byte[] processBuffer = new byte[64 * Nvml.LargestProcessEntry];
    private NvmlSession? session;
    private Nvml.Identity[] identities = [];
    private bool everOpened;
    private volatile bool isStuck;
    private bool stopped;
    private int attempts;
    private TimeSpan dueAt = TimeSpan.Zero;
    private TimeSpan? illSince;
    private TimeSpan openedAt;
    private TimeSpan lookAt;
    private int gpusInKernel;

    /// <summary>Nothing is loaded before the first reading.</summary>
    /// <param name="path">The library; empty for where the dynamic linker finds it.</param>
    /// <param name="procFs">Where the names of processes are.</param>
    /// <param name="sysFs">Where the kernel says which GPUs it has suspended.</param>
    /// <param name="interval">From one reading to the next.</param>
    /// <param name="longestAge">A reading that is older is not told as the present.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="onDefect">Takes what nobody foresaw on one of its threads; null lets it end the program.</param>
    public NvmlSource(
        string path, string procFs, string sysFs, TimeSpan interval, TimeSpan longestAge, AgentClock clock,
        Action<string, Exception>? onDefect = null)
    {
        this.path = path;
        this.procFs = procFs;
        this.longestAge = longestAge;
        names = new(procFs);
        power = new(sysFs);
        this.clock = clock;
        var period = interval > CostlyPeriod ? interval : CostlyPeriod;

        // Twice the period, because the newest reading is always almost one period old.
        longestCostlyAge = longestAge > period * 2 ? longestAge : period * 2;
        costly = new("gpu costly", clock, longestCostlyAge, () => ReadCostly(period), onDefect);
        work = new("gpu work", clock, longestAge, ReadWork, onDefect);
        this.onDefect = onDefect;
    }

    /// <summary>What the newest attempt to open the library came to.</summary>
    public Nvml.State State { get; private set; } = Nvml.State.NotTried;

    /// <summary>Since when the library is not open; only while it is not.</summary>
    public TimeSpan ClosedSince { get; private set; }

    /// <summary>True while the library is open. For its caller's thread.</summary>
    public bool IsOpen => session is not null;

    /// <summary>True once the library was open.</summary>
    public bool WasOpen => everOpened;

    /// <summary>What jobs did on the GPUs in use; nothing before <see cref="WatchWork"/>.</summary>
    public GpuWork[] Work => work.Newest?.Work ?? [];

    /// <summary>What could not be read of that.</summary>
    public SourceError[] WorkFaults => work.Newest?.Faults ?? [];

    /// <summary>What calls that do not return keep from being told or mended.</summary>
    public SourceError[] Hanging => SourceErrors.Together(
        costly.IsOverdue
            ? [
                SourceError.NewUnreadable(
                    $"{Nvml.Source} (PCIe, NVLink, ECC, processes)", $"no answer for {longestCostlyAge.TotalSeconds:0.#} s"),
            ]
            : [],
        isWorkWatched && work.IsOverdue
            ? [SourceError.NewUnreadable($"{Nvml.Source} (GPM, violation times, process utilization)", $"no answer for {longestAge.TotalSeconds:0.#} s")]
            : [],
        isStuck
            ? [
                SourceError.NewUnreadable(
                    $"{Nvml.Source} (after a loss)", "it cannot be opened again while one of its calls does not return"),
            ]
            : []);

    /// <summary>
    /// All GPUs; null while the library is not open. To be called by one thread alone, as often as readings are wanted.
    /// </summary>
    public GpuReading? Read()
    {
        if (session is { } ill && (ill.IsIll || ill.IsLeaving))
        {
            Reopen(ill);
        }
        else if (session is { } healthy && clock.Elapsed >= lookAt)
        {
            lookAt = clock.Elapsed + LookAgain;
            power.Look(identities.Select(static identity => identity.PciBusId));

            if (healthy.HasChanged || GpusInKernel() != gpusInKernel)
            {
                Reopen(healthy);
            }
        }
        else if (session is null && clock.Elapsed >= dueAt)
        {
            Open();
        }

        if (session is not { } open)
        {
            return null;
        }

        if (!open.IsIll && clock.Elapsed - openedAt > Quiet)
        {
            attempts = 0;
        }

        var newest = costly.Newest;
        var devices = new Nvml.Device[open.Boards.Length];

        for (var i = 0; i < devices.Length; i++)
        {
            var board = open.Boards[i];
            devices[i] = board.Read(CostlyOf(newest, board), xids);
        }

        return Nvml.Interpret(devices);
    }

    /// <summary>
    /// From now on what jobs do is read as well, on a thread of its own, while somebody uses a GPU: GPM, violation times, the utilisation of
    /// processes, and who only draws.
    /// </summary>
    public void WatchWork()
    {
        if (!isWorkWatched)
        {
            isWorkWatched = true;
            work.Start();
        }
    }

    /// <summary>Closes the library as soon as no call is under way, so that a GPU can be reset or divided; the next reading opens it.</summary>
    public void Release()
    {
        if (session is { } open && open.TryClose())
        {
            lock (gate)
            {
                session = null;
            }

            illSince = null;
            isStuck = false;
            ClosedSince = clock.Elapsed;
            dueAt = TimeSpan.Zero;
        }
    }

    /// <summary>Ends the threads without waiting for one that hangs.</summary>
    public void Stop()
    {
        costly.Stop();
        work.Stop();

        lock (gate)
        {
            stopped = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>How many GPUs the driver has bound: a session of the library knows only those that were there when it was opened.</summary>
    private int GpusInKernel() => SysFiles.Directories(Path.Join(procFs, "driver/nvidia/gpus")).Length;

    private FSharpValueOption<Nvml.Costly> CostlyOf(CostlyReading? reading, NvmlBoard board) =>
        reading is not null && reading.Boards.TryGetValue(board.Key, out var found) && clock.Elapsed - found.At <= longestCostlyAge
            ? FSharpValueOption<Nvml.Costly>.NewValueSome(found.Value)
            : default;

    private void Open()
    {
        var opened = NvmlSession.Open(path, identities, power, clock, out var state);
        State = state;
        openedAt = clock.Elapsed;

        if (opened is null)
        {
            attempts++;
            ClosedSince = everOpened || attempts > 1 ? ClosedSince : openedAt;
            dueAt = openedAt + (state.IsNotLoaded ? LookAgain : Nvml.ReopenDelay(attempts));
            return;
        }

        identities = [.. opened.Boards.Select(static board => board.Identity)];
        lookAt = openedAt + LookAgain;
        gpusInKernel = GpusInKernel();
        power.Look(identities.Select(static identity => identity.PciBusId));

        // A library without devices is of no use, and may have some when it is opened another time.
        if (identities.Length == 0)
        {
            opened.TryClose();
            attempts++;
            ClosedSince = openedAt;
            dueAt = openedAt + LookAgain;
            return;
        }

        lock (gate)
        {
            session = opened;
            Monitor.PulseAll(gate);
        }

        if (everOpened)
        {
            costly.Refresh();
            return;
        }

        everOpened = true;
        costly.Start();
        Guard.Start("gpu events", 128 * 1024, WatchXid, onDefect);
        costly.WaitForFirst(clock.Elapsed + FirstCostly);
    }

    private void Reopen(NvmlSession ill)
    {
        var now = clock.Elapsed;
        illSince ??= now;
        dueAt = illSince.Value + Nvml.ReopenDelay(attempts);

        if (now < dueAt)
        {
            return;
        }

        if (!ill.TryClose())
        {
            isStuck = now - dueAt > LongestCall;
            return;
        }

        lock (gate)
        {
            session = null;
        }

        isStuck = false;
        illSince = null;
        ClosedSince = now;
        attempts++;
        Open();
    }

    private SlowReading<CostlyReading> ReadCostly(TimeSpan period)
    {
        NvmlSession? open;

        lock (gate)
        {
            open = session;
        }

        if (open is null || !open.TryEnter())
        {
            return new(newestCostly, period);
        }

        try
        {
            // One that does not answer now keeps what it told, until that is too old.
            var read = new Dictionary<string, (Nvml.Costly, TimeSpan)>(newestCostly.Boards, StringComparer.Ordinal);

            foreach (var board in open.Boards)
            {
                if (board.Answers && !open.IsLeaving)
                {
                    read[board.Key] = (board.ReadCostly(ref processBuffer, names.Of, isWorkWatched), clock.Elapsed);
                }
            }

            newestCostly = new(read);
            var wasUsed = isUsed;
            isUsed = Array.Exists(open.Boards, static board => board.IsUsed);

            if (isUsed && !wasUsed)
            {
                work.Refresh();
            }

            return new(newestCostly, period);
        }
        finally
        {
            open.Leave();
        }
    }

    private SlowReading<GpuWorkReading> ReadWork()
    {
        NvmlSession? open;

        lock (gate)
        {
            open = session;
        }

        if (open is null || !open.TryEnter())
        {
            return new(GpuWorkReading.None, WorkPeriod);
        }

        try
        {
            var read = new List<NvmlWork.Calls>();

            foreach (var board in open.Boards)
            {
                if (!open.IsLeaving && board.ReadWork() is { } calls)
                {
                    read.Add(calls);
                }
            }

            // Nothing changes for a machine that nobody uses before the next costly reading, which says so.
            return read.Count == 0 ? new(GpuWorkReading.None, CostlyPeriod) : new(NvmlWork.Interpret([.. read]), WorkPeriod);
        }
        finally
        {
            open.Leave();
        }
    }

    private void WatchXid()
    {
        NvmlSession? watched = null;

        while (true)
        {
            lock (gate)
            {
                while (!stopped && (session is null || session == watched))
                {
                    clock.Wait(gate, Timeout.InfiniteTimeSpan);
                }

                if (stopped)
                {
                    return;
                }

                watched = session!;
            }

            if (watched.TryEnter())
            {
                try
                {
                    watched.WatchXid(xids);
                }
                finally
                {
                    watched.Leave();
                }
            }
        }
    }

    private sealed record CostlyReading(IReadOnlyDictionary<string, (Nvml.Costly Value, TimeSpan At)> Boards)
    {
        public static readonly CostlyReading None = new(new Dictionary<string, (Nvml.Costly, TimeSpan)>());
    }
}
