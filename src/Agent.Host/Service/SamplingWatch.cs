using Agent.Core;
using Agent.Sender;
using Agent.Host.Exporting;
using Agent.Host.Reading;
using Agent.Host.Sampling;

namespace Agent.Host.Service;

/// <summary>What the agent itself learns from each sample, before it goes anywhere. Runs on the sampling thread alone.</summary>
/// <param name="sources">Says which sources fail.</param>
/// <param name="slow">Looks for devices again when one came or went.</param>
/// <param name="metrics">Counts the samples that were not taken; null where no metrics are exported.</param>
/// <param name="service">Tells systemd.</param>
/// <param name="clock">Watches the wall clock.</param>
/// <param name="log">Where to say it.</param>
internal sealed class SamplingWatch(
    SourceWatch sources, SlowSources slow, MetricsSource? metrics, ServiceState service, ClockWatch clock, Log log)
{
    /// <summary>The start is over, and its garbage with it.</summary>
    private const int Started = 2;

    /// <summary>What runs once after the start has run: the first delivery, the first look at devices, the first jobs.</summary>
    private const int Settled = 60;

    /// <summary>
    /// Collections of the heap's youngest objects between two that compact all of it. The runtime itself would let megabytes pile up first; see
    /// docs/adr/0015-small-memory.md.
    /// </summary>
    private const int YoungCollections = 8;

    private int samples;
    private int collectAgainAt = YoungCollections;
    private long lateBy;

    /// <summary>
    /// So many samples were due and not taken. The opening of the CPU window and the sample are two grids, which skip together. What passes
    /// while the first sample waits for the slow sources is the start, and no sample late.
    /// </summary>
    public void Skipped(long count) => lateBy = samples < Started ? 0 : Math.Max(lateBy, count);

    /// <summary>Looks at a sample.</summary>
    public void Observe(SampleTaken taken)
    {
        sources.Observe(taken.Snapshot);

        if (taken.HasOtherDevices)
        {
            slow.RefreshDevices();
        }

        if (taken.HasOtherCpus)
        {
            slow.RefreshFacts();
        }

        service.Sampled();
        log.Due();

        if (lateBy > 0)
        {
            log.Warning("sampling was late", $": {lateBy} sample(s) skipped");
            metrics?.Skipped(lateBy);
            lateBy = 0;
        }

        clock.Observe();

        switch (samples < Settled ? ++samples : 0)
        {
            case Started:
                StartUpMemory.GiveBack();
                break;
            case Settled:
                StartUpMemory.ForgetFile();
                break;
        }

        if (GC.CollectionCount(0) >= collectAgainAt)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            collectAgainAt = GC.CollectionCount(0) + YoungCollections;
        }
    }
}
