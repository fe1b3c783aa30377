using System.Globalization;
using System.Reactive.Linq;
using System.Runtime.ExceptionServices;
using Agent.Core;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Exporting;
using Agent.Host.Lanes;
using Agent.Host.Posting;
using Agent.Host.Reading;
using Agent.Host.Sampling;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host;

/// <summary>What a run is put together from.</summary>
/// <param name="Settings">The user's choices.</param>
/// <param name="Identity">Who samples.</param>
/// <param name="Clock">The monotonic clock.</param>
/// <param name="Log">Where to say what a user should know.</param>
/// <param name="Signals">End the run.</param>
/// <param name="Systemd">Who watches it.</param>
internal sealed record RunParts(Settings Settings, Identity Identity, AgentClock Clock, Log Log, Signals Signals, Systemd Systemd);

/// <summary>One run of the agent: puts the parts together and samples on the calling thread.</summary>
internal sealed class AgentRun : IDisposable
{
    /// <summary>What is in flight may take so long when the agent ends without the thread that samples.</summary>
    private static readonly TimeSpan LastRequest = TimeSpan.FromSeconds(0.4);

    private readonly RunParts parts;
    private readonly ProcFiles files;
    private readonly SlowSources slow;
    private readonly SamplingScheduler sampling;
    private readonly Sampler sampler;
    private readonly SampleEncoder encoder;
    private readonly ServiceState service;
    private readonly SamplingWatch watch;
    private readonly ReadingWatch reading;
    private readonly GpuWatch gpus;
    private readonly MetricsSource? metrics;
    private readonly List<Lane> lanes = [];
    private long defects;

    /// <summary>An agent that has not started yet; without metrics none are kept.</summary>
    public AgentRun(RunParts parts, bool withMetrics)
    {
        this.parts = parts;
        var (settings, identity, clock, log, _, systemd) = parts;
        var record = withMetrics ? new ReadingRecord() : null;
        slow = new SlowSources(settings, clock, withMetrics, tell: log.Info, onDefect: OnDefect);
        gpus = new GpuWatch(
            () => slow.GpuFinding, isReleased => slow.AreGpusReleased = isReleased, () => slow.AreGpusFree, settings.DryRun, clock, log);
        reading = new ReadingWatch(clock, log, parts.Signals.Orderly, EndAtOnce);

        if (ProcPaths.Concealed(settings.ProcFs) is { Length: > 0 } sentence)
        {
            log.Warning(sentence);
        }

        files = new ProcFiles(settings.ProcFs, settings.SysFs, clock, SlowReadings, record, reading);
        sampler = new Sampler(files, settings, clock);
        encoder = new SampleEncoder(slow.Facts, settings, identity);
        service = new ServiceState(systemd, settings.Interval, () => lanes.Sum(static lane => lane.Waiting), clock);
        var sources = new SourceWatch(settings, slow.Faults, slow.IsGone, clock, log);
        metrics = record is null
            ? null
            : new MetricsSource(
                identity.Version,
                settings,
                slow,
                record,
                () => sources.Failures + Interlocked.Read(ref defects),
                () => [.. lanes.Select(static lane => lane.State())],
                files.ReadDomainName(),
                clock);
        watch = new SamplingWatch(sources, slow, metrics, service, new ClockWatch(clock, log), log);
        sampling = new SamplingScheduler(clock) { OnSkipped = watch.Skipped };
    }

    private LaneContext Context => new(parts.Settings, parts.Clock, parts.Log, service, parts.Signals);

    /// <summary>Samples go to the webapp.</summary>
    public IngestLane AddIngest(IOutbox outbox, SampleClient client)
    {
        var lane = new IngestLane(outbox, client, encoder, Context);
        lanes.Add(lane);
        return lane;
    }

    /// <summary>Samples go to a receiver of remote-write. Only where metrics are kept.</summary>
    public void AddRemoteWrite(IOutbox outbox, SampleClient client, ReceiverTemplate template, HeaderSource? headers) =>
        lanes.Add(new RemoteWriteLane(outbox, client, template, headers, metrics!, Context));

    /// <summary>Samples go to a receiver of OTLP. Only where metrics are kept.</summary>
    public void AddOtlp(IOutbox outbox, SampleClient client, HeaderSource? headers) => lanes.Add(
        new OtlpLane(
            outbox, client, headers, metrics!, parts.Identity.Version, EnrolmentStore.MachineId(parts.Settings), Context));

    /// <summary>Metrics are served. Only where metrics are kept.</summary>
    public void Serve(MetricsEndpoint endpoint, TokenSource? token)
    {
        var source = metrics!;
        endpoint.Start(new ScrapeAnswers(
            source.Machine,
            source.Agent,
            source.Job,
            source.Age,
            parts.Settings.Interval,
            token is null ? null : () => token.Current,
            () => token?.Refresh() ?? false,
            parts.Clock),
            OnDefect);
    }

    /// <summary>Runs until a signal, or with --once until its one attempt is over.</summary>
    public void Run()
    {
        var settings = parts.Settings;
        slow.Start();

        Exception? defect = null;
        using var run = Pipeline.Ticks(settings.CpuWindow, settings.Interval, settings.Once, sampling)
            .Sample(sampler)
            .Do(watch.Observe)
            .ToEach(
            [
                .. settings.DryRun ? (ILane[])[new PrintLane(encoder, settings.Once, parts.Log, service, StopSampling)] : [.. lanes],
                .. metrics is null ? (ILane[])[] : [new MetricsLane(metrics)],
            ])
            .Subscribe(
                static _ => { },
                error =>
                {
                    defect = error;
                    sampling.Stop();
                },
                sampling.Stop);

        using var stop = parts.Signals.Orderly.Register(StopSampling);
        parts.Signals.OnUser1 = gpus.Switch;
        service.WatchOver(sampling);
        lanes.ForEach(static lane => lane.Start());
        sampling.Run();
        service.Stopping();
        lanes.ForEach(static lane => lane.Stop());
        slow.Stop();

        if (defect is not null)
        {
            ExceptionDispatchInfo.Throw(defect);
        }

        lanes.ForEach(static lane => lane.SayWhatIsLeft());
    }

    /// <summary>Takes so many samples one right after the other, each with its rates and its label, and sends none.</summary>
    public SamplingCost Measure(int samples)
    {
        slow.Start();
        encoder.Line(sampler.Take().Sample).Release();
        var before = FSharpValueOption<Sample>.None;

        var cost = SamplingCost.Of(samples, parts.Clock, () =>
        {
            var sample = sampler.Take().Sample;
            encoder.Line(sample, newLine: true).Release();
            _ = BottleneckModule.Of(sample, DerivedModule.From(before, sample));
            before = FSharpValueOption<Sample>.NewValueSome(sample);
        });

        slow.Stop();
        return cost;
    }

    /// <summary>The disks that are tracked, for the line at start.</summary>
    public string[] TrackedDisks()
    {
        var found = files.ReadDisks();
        reading.Reading = Path.Join(parts.Settings.SysFs, "block");
        var blocks = new DeviceFiles(parts.Settings.SysFs).ReadBlocks();
        reading.Reading = null;
        return found.Match(
            all => Devices.SelectDisks(blocks, parts.Settings.Disks, all).Tracked.Select(static disk => disk.Device).ToArray(),
            static _ => []);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        reading.Dispose();
        files.Dispose();
        lanes.ForEach(static lane => lane.Dispose());
    }

    private SlowReadings SlowReadings()
    {
        var readings = slow.Newest();
        gpus.Observe();
        return readings;
    }

    // The first sample may be waiting for a slow source.
    private void StopSampling()
    {
        sampling.Stop();
        slow.Stop();
    }

    /// <summary>The end of <see cref="Run"/> in the place of a thread that hangs in a read, and of the process.</summary>
    private void EndAtOnce()
    {
        StopSampling();
        service.Stopping();
        lanes.ForEach(static lane => lane.Stop(LastRequest));
        lanes.ForEach(static lane => lane.SayWhatIsLeft());
        parts.Log.Finish();
        Environment.Exit(parts.Settings.Once ? ExitCode.Failure : ExitCode.Success);
    }

    /// <summary>What the thread of a source threw: that source is lost or read again later, and all else goes on.</summary>
    private void OnDefect(string source, Exception defect)
    {
        Interlocked.Increment(ref defects);
        parts.Log.Error(
            defect is ThreadLimitException or OutOfMemoryException
                ? $"{source}: {(defect as ThreadLimitException ?? new(defect)).Message}"
                : $"{source}: a defect of the agent, please report it: {defect}");
    }
}
