using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Reading;
using Agent.Host.Sampling;
using Microsoft.FSharp.Core;

namespace Agent.Host.Exporting;

/// <summary>
/// What metrics are made of: the newest reading, which the sampling leaves here, and the state of the agent. Safe for all
/// threads.
/// </summary>
/// <param name="version">The agent's version.</param>
/// <param name="settings">The user's choices.</param>
/// <param name="slow">What is read beside the sampling.</param>
/// <param name="record">What each source took; the sampling thread writes it.</param>
/// <param name="failures">Readings of any source that failed.</param>
/// <param name="destinations">The state of delivery.</param>
/// <param name="domainName">The NIS domain name; empty where it cannot be read.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class MetricsSource(
    string version,
    Settings settings,
    SlowSources slow,
    ReadingRecord record,
    Func<long> failures,
    Func<DestinationState[]> destinations,
    string domainName,
    AgentClock clock)
{
    private readonly ReadingRecord freshRecord = new();
    private readonly string machineJob = settings.Labels.FirstOrDefault(static label => label.Item1 == "job").Item2 ?? "";
    // One for each of the two threads that ask.
    private readonly CollectorFiles scraped = new(settings, CollectorPace.Scrapes, clock);
    private readonly CollectorFiles pushed = new(settings, CollectorPace.Samples, clock);
    private Look? newest;
    // Open for as long as the program runs: the thread that serves metrics may use them to its end.
    private ProcFiles? fresh;
    private long skipped;
    private long scrapes;
    private JobAccounts accounts = JobAccounts.Empty;
    private long accounted;

    /// <summary>What metrics are made of right after a sample was taken. Called on the sampling thread, by each destination.</summary>
    public Look At(SampleTaken sample)
    {
        var now = clock.Elapsed;

        if (sample.Number != accounted)
        {
            accounted = sample.Number;
            // Where nobody scrapes, each sample is pushed, which collects as much.
            accounts = JobAccountsModule.After(
                now,
                settings.Listen.IsSome ? Interlocked.Read(ref scrapes) : sample.Number,
                slow.GpuJobs(),
                sample.Sample.Gpus,
                sample.Sample.Jobs,
                accounts);
        }

        return new(sample, record.MemoryText, record.States(sample.Snapshot), accounts, now);
    }

    /// <summary>From now on this is the newest sample.</summary>
    public void Publish(Look look) => Volatile.Write(ref newest, look);

    /// <summary>Samples were due and not taken.</summary>
    public void Skipped(long count) => Interlocked.Add(ref skipped, count);

    /// <summary>How old the newest sample is; infinite before the first.</summary>
    public TimeSpan Age() => Volatile.Read(ref newest) is { } last ? clock.Elapsed - last.TakenAt : TimeSpan.MaxValue;

    /// <summary>
    /// The newest reading of the machine, for a scrape, with its counters read anew; none before the first. Called on the thread that
    /// serves metrics.
    /// </summary>
    public FSharpValueOption<MachineReading> Machine()
    {
        Interlocked.Increment(ref scrapes);

        if (Volatile.Read(ref newest) is not { } last)
        {
            return FSharpValueOption<MachineReading>.None;
        }

        // Counters of a sample that is a second old make rates that are a second off.
        fresh ??= new ProcFiles(settings.ProcFs, settings.SysFs, clock, static () => SlowReadings.None, freshRecord);
        var snapshot = fresh.Read(FSharpValueOption<CpuWindow>.None);
        return FSharpValueOption<MachineReading>.NewValueSome(
            Machine(last, snapshot, freshRecord.MemoryText, scraped.Read()));
    }

    /// <summary>What the GPU time of a scheduler's job went into, up to the newest sample. This is no scrape: nothing is taken as collected.</summary>
    public FSharpValueOption<JobTotals> Job(string id) =>
        Volatile.Read(ref newest) is { } last ? JobTotalsModule.Find(id, last.Accounts) : FSharpValueOption<JobTotals>.None;

    /// <summary>
    /// The reading of the machine at one sample, with what is read for metrics alone or without it. Called on the sampling thread.
    /// </summary>
    public MachineReading Machine(Look look, bool withCollectors) =>
        Machine(look, look.Sample.Snapshot, look.MemoryText, withCollectors ? pushed.Read() : []);

    private MachineReading Machine(Look look, Snapshot snapshot, ReadOnlyMemory<byte> memoryText, CollectorReading[] read)
    {
        var system = slow.Facts();

        return new MachineReading(
            snapshot: snapshot,
            sample: look.Sample.Sample,
            previous: look.Sample.Previous,
            memoryText: memoryText,
            temperatures: slow.Temperatures(),
            system: system,
            domainName: domainName,
            hostname: settings.Hostname.Length > 0 ? settings.Hostname : system.Hostname,
            disks: settings.Disks,
            interfaces: settings.Interfaces,
            accounts: look.Accounts,
            machineJob: machineJob,
            gpuJobs: slow.GpuJobs(),
            gpuWork: slow.GpuWork(),
            filesystems: slow.Filesystems(),
            collectors: read,
            pageSize: (ulong)Environment.SystemPageSize);
    }

    /// <summary>The state of the agent at this moment.</summary>
    public AgentState Agent() => Agent(Volatile.Read(ref newest));

    /// <summary>The state of the agent at one sample; null for before the first.</summary>
    public AgentState Agent(Look? look) => new(
        version: version,
        taken: look?.Sample.Number ?? 0,
        skipped: Interlocked.Read(ref skipped),
        failures: failures(),
        sources: [.. look?.Sources ?? [], .. slow.States()],
        destinations: destinations());

    /// <summary>One sample and what else was seen with it.</summary>
    /// <param name="Sample">The sample.</param>
    /// <param name="MemoryText">/proc/meminfo as it was.</param>
    /// <param name="Sources">The outcome of each source of the snapshot.</param>
    /// <param name="Accounts">What the GPU time of jobs went into, this sample included.</param>
    /// <param name="TakenAt">When it was taken, by the monotonic clock.</param>
    internal sealed record Look(
        SampleTaken Sample, ReadOnlyMemory<byte> MemoryText, SourceState[] Sources, JobAccounts Accounts, TimeSpan TakenAt);
}
