using Agent.Core;
using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>
/// The GPUs by nvidia-smi: one that loops, whose rounds are read as they come; where that one falls silent, one start for
/// each reading. All starts are made from one thread, which lives as long as the source.
/// </summary>
internal sealed partial class NvidiaSmiSource
{
    /// <summary>A round of the driver's own takes a while.</summary>
    private static readonly TimeSpan ShortestLoop = TimeSpan.FromSeconds(1);

    /// <summary>On a machine with many GPUs, or without persistence mode, the first row of a start takes so long at most.</summary>
    public static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(60);

    /// <summary>Later starts may take so many times as long as the first one took.</summary>
    private const int Allowance = 2;

    /// <summary>A start costs up to half a second of CPU time.</summary>
    private static readonly TimeSpan ShortestPeriod = TimeSpan.FromSeconds(2);

    /// <summary>An installation of the driver is noticed after this time.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(30);

    /// <summary>One that ran for so long was in good order; the wait before its successor is short again.</summary>
    private static readonly TimeSpan GoodRun = TimeSpan.FromMinutes(1);

    /// <summary>Who computes is asked by a start of its own, at most so often.</summary>
    private static readonly TimeSpan ShortestProcessPeriod = TimeSpan.FromSeconds(5);

    /// <summary>And so that it takes no more than a hundredth of the time, but at least so often.</summary>
    private static readonly TimeSpan LongestProcessPeriod = TimeSpan.FromMinutes(1);

    /// <summary>A process that has closed its pipes or was killed ends soon.</summary>
    private static readonly TimeSpan Ending = TimeSpan.FromSeconds(1);

    private readonly Action<string, Exception>? onDefect;
    private readonly Func<Gpu[]>? asleep;
    private readonly AgentClock clock;
    private readonly TimeSpan interval;
    private readonly TimeSpan longestAge;
    private readonly TimeSpan silence;
    private readonly ChildProcess program;
    private readonly NvidiaSmiProcess single;
    private readonly ProcessNames names;
    private readonly object gate = new();

    private GpuReading? newest;
    private TimeSpan takenAt;
    private NvidiaSmi.ProcessReading? processes;
    private TimeSpan processesAt;
    private TimeSpan processesDue;
    private TimeSpan processesValid;
    private SourceError? processError;
    private SourceError? error;
    private SourceError? trouble;
    private TimeSpan troubleAt;
    private NvidiaSmiFailure? failure;
    private bool isSettled;
    private bool isLooping;
    private bool tookOver;
    private bool hasFailedSingly;
    private int failures;
    private bool stopped;
    private volatile bool hasEnded;

    /// <summary>Nothing is started before <see cref="Start"/>.</summary>
    /// <param name="interval">From one reading to the next; at least a second for a loop, and two for single starts.</param>
    /// <param name="longestAge">A reading that is older is not told as the present, and a loop that falls silent for so long is killed.</param>
    /// <param name="isLooping">False for one start after the other.</param>
    /// <param name="procFs">Where the names of processes are.</param>
    /// <param name="program">nvidia-smi.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="onDefect">Takes what nobody foresaw on one of its threads; null lets it end the program.</param>
    /// <param name="asleep">Gives all boards where the kernel has suspended every one, so that any start would wake them; null where nobody looks.</param>
    public NvidiaSmiSource(
        TimeSpan interval, TimeSpan longestAge, bool isLooping, string procFs, ChildProcess program, AgentClock clock,
        Action<string, Exception>? onDefect = null, Func<Gpu[]>? asleep = null)
    {
        this.asleep = asleep;
        this.onDefect = onDefect;
        this.clock = clock;
        this.interval = interval;
        this.longestAge = longestAge;
        this.isLooping = isLooping;
        silence = longestAge;
        this.program = program;
        single = new(program);
        names = new(procFs);
    }

    /// <summary>The same with the nvidia-smi that is in PATH.</summary>
    public NvidiaSmiSource(TimeSpan interval, TimeSpan longestAge, bool isLooping, string procFs, AgentClock clock)
        : this(interval, longestAge, isLooping, procFs, NvidiaSmiProcess.NewProgram(clock), clock)
    {
    }

    /// <summary>The newest reading with its faults, if it is young enough; null where there is none.</summary>
    public GpuReading? Newest
    {
        get
        {
            lock (gate)
            {
                return newest is not null && clock.Elapsed - takenAt <= longestAge ? newest : null;
            }
        }
    }

    /// <summary>What is wrong with nvidia-smi now: it is absent, fails, has died or fell silent; null when it works.</summary>
    public SourceError? Error
    {
        get
        {
            lock (gate)
            {
                return error;
            }
        }
    }

    /// <summary>
    /// All that could not be read or understood. What is over already stays for a while, so that whoever looks now and then
    /// sees it; a program that is not installed is no fault.
    /// </summary>
    public SourceError[] Faults
    {
        get
        {
            lock (gate)
            {
                var whole = error ?? (clock.Elapsed - troubleAt <= longestAge ? trouble : null);

                return SourceErrors.Together(
                    newest?.Faults ?? [],
                    whole is { IsAbsent: false } ? [whole] : [],
                    processError is null ? [] : [processError],
                    processes?.Faults ?? []);
            }
        }
    }

    /// <summary>What nvidia-smi said of why there are no GPUs; null when there are, or when it did not get to say anything.</summary>
    public NvidiaSmiFailure? Failure
    {
        get
        {
            lock (gate)
            {
                return failure;
            }
        }
    }

    /// <summary>True once there was a reading or an error.</summary>
    public bool IsSettled
    {
        get
        {
            lock (gate)
            {
                return isSettled;
            }
        }
    }

    /// <summary>True once its thread has ended, and nvidia-smi with it or killed by it.</summary>
    public bool HasEnded => hasEnded;

    /// <summary>Starts reading.</summary>
    public void Start() => Guard.Start("gpu", 256 * 1024, Run, onDefect);

    /// <summary>Ends the program that runs, and the thread, without waiting for either.</summary>
    public void Stop()
    {
        lock (gate)
        {
            stopped = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>Waits for the first reading or error until the given instant of the clock.</summary>
    public void WaitForFirst(TimeSpan until)
    {
        lock (gate)
        {
            while (!isSettled && !stopped && clock.Elapsed < until)
            {
                clock.Wait(gate, until - clock.Elapsed);
            }
        }
    }

    private void Run()
    {
        while (!IsStopped)
        {
            var wait = Rests() ? Longest(interval, ShortestPeriod) : isLooping ? Loop() : ReadOnce();
            Pause(clock.Elapsed + wait, static () => false);
        }

        hasEnded = true;
    }

    // A program that runs already keeps them awake; this is for the next start.
    private bool Rests()
    {
        if (asleep?.Invoke() is not { Length: > 0 } boards)
        {
            return false;
        }

        Publish(new(boards, []));
        Settle();
        return true;
    }

    private bool IsStopped
    {
        get
        {
            lock (gate)
            {
                return stopped;
            }
        }
    }

    private TimeSpan ReadOnce()
    {
        var begun = clock.Elapsed;
        var reading = single.Read();
        var wait = reading.Match(
            found =>
            {
                Publish(found);

                // Single starts failed too while the loop was silent: it was the GPU, not the loop.
                isLooping = tookOver && hasFailedSingly;
                hasFailedSingly = false;
                failures = 0;
                return Longest(interval, ShortestPeriod);
            },
            error =>
            {
                Fail(error, single.Failure);
                hasFailedSingly = true;
                return error.IsAbsent ? LookAgain : BackOff();
            });

        if (reading.IsOk)
        {
            ReadProcesses();
        }

        Settle();
        var left = begun + wait - clock.Elapsed;
        return reading.IsOk && left > TimeSpan.Zero ? left : wait;
    }

    private void ReadProcesses()
    {
        if (clock.Elapsed < processesDue)
        {
            return;
        }

        var begun = clock.Elapsed;
        var reading = single.ReadProcesses();
        var took = clock.Elapsed - begun;
        var period = Longest(interval, Shortest(Longest(took * 100, ShortestProcessPeriod), LongestProcessPeriod));
        var found = reading.Match(read => NvidiaSmi.Named(names.Of, read), static _ => null!);

        lock (gate)
        {
            processError = reading.Match(static _ => null!, static error => error);
            processesDue = begun + period;

            if (found is not null)
            {
                processes = found;
                processesAt = clock.Elapsed;
                processesValid = Longest(longestAge, period * 2);
                newest = newest is null ? null : NvidiaSmi.WithProcesses(found, newest);
            }
        }
    }

    private void Publish(GpuReading reading)
    {
        lock (gate)
        {
            newest = processes is not null && clock.Elapsed - processesAt <= processesValid
                ? NvidiaSmi.WithProcesses(processes, reading)
                : reading;
            takenAt = clock.Elapsed;
            error = null;
            failure = reading.Gpus.Length == 0 ? NvidiaSmiFailure.NoDevices : null;
        }
    }

    private void Fail(SourceError reason, NvidiaSmiFailure? cause)
    {
        lock (gate)
        {
            error = trouble = reason;
            troubleAt = clock.Elapsed;
            failure = cause;
        }
    }

    private void Settle()
    {
        lock (gate)
        {
            isSettled = true;
            Monitor.PulseAll(gate);
        }
    }

    private void Pause(TimeSpan until, Func<bool> isOver)
    {
        lock (gate)
        {
            while (!stopped && !isOver() && clock.Elapsed < until)
            {
                clock.Wait(gate, until - clock.Elapsed);
            }
        }
    }

    private static TimeSpan Longest(TimeSpan one, TimeSpan other) => one > other ? one : other;

    private static TimeSpan Shortest(TimeSpan one, TimeSpan other) => one < other ? one : other;
}
