using System.Globalization;
using System.Reactive.Concurrency;
using System.Reactive.Linq;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Exporting;
using Agent.Host.Posting;
using Agent.Host.Reading;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host;

/// <summary>What remote-write needs.</summary>
/// <param name="Outbox">Keeps its records.</param>
/// <param name="Client">Makes its requests.</param>
/// <param name="Headers">The user's headers, which the client sends; null for none.</param>
internal sealed record RemoteParts(IOutbox Outbox, SampleClient Client, HeaderSource? Headers);

/// <summary>One run of the agent: puts the parts together, samples on the calling thread, posts on a second one.</summary>
internal sealed class AgentRun : IDisposable
{
    /// <summary>The first sample waits so long for the slow sources.</summary>
    private static readonly TimeSpan FirstReadings = TimeSpan.FromSeconds(3);

    /// <summary>How every failure to deliver begins.</summary>
    private const string NotDelivered = "not delivered";

    private readonly Settings settings;
    private readonly AgentClock clock;
    private readonly string version;
    private readonly Log log;
    private readonly Signals signals;
    private long defects;
    private readonly ProcFiles files;
    private readonly SlowSources slow;
    private readonly SamplingScheduler sampling;
    private readonly SamplingScheduler posting;
    private readonly IOutbox outbox;
    private readonly ClockWatch clockWatch;
    private readonly SampleClient? client;
    private readonly Sampler sampler;
    private readonly ServiceState service;
    private readonly Adviser adviser;
    private readonly MetricsEndpoint? endpoint;
    private readonly TokenSource? scrapeToken;
    private readonly MetricsSource? metrics;
    private readonly RemoteWriter? remote;
    private Exception? remoteDefect;
    private bool firstSample = true;
    private GpuFinding gpus = Diagnosis.NoGpus;
    private int untilSettled = 2;
    private bool overflowing;
    private long lost;
    private EncodedSample? newest;
    private bool accepted;
    private long lateBy;
    private long delivered;

    /// <summary>
    /// An agent that has not started yet. Without a client nothing is sent, and with --dry-run it is printed instead;
    /// without an endpoint and remote-write no metrics are kept.
    /// </summary>
    public AgentRun(
        Settings settings,
        SampleClient? client,
        IOutbox outbox,
        string version,
        AgentClock clock,
        Log log,
        Signals signals,
        Systemd systemd,
        MetricsEndpoint? endpoint = null,
        TokenSource? scrapeToken = null,
        RemoteParts? remote = null)
    {
        this.endpoint = endpoint;
        this.scrapeToken = scrapeToken;
        this.settings = settings;
        this.client = client;
        this.outbox = outbox;
        clockWatch = new ClockWatch(clock, log);
        this.clock = clock;
        this.version = version;
        this.log = log;
        this.signals = signals;
        var record = endpoint is null && remote is null ? null : new ReadingRecord();
        files = new ProcFiles(settings.ProcFs, settings.SysFs, clock, SlowReadings, record);
        slow = new SlowSources(settings, clock, withMetrics: record is not null, log.Info, OnDefect);
        sampling = new SamplingScheduler(clock)
        {
            // The opening of the CPU window and the sample are two grids, which skip together.
            OnSkipped = skipped => lateBy = Math.Max(lateBy, skipped),
        };

        posting = new SamplingScheduler(clock);
        service = new ServiceState(systemd, settings.Interval, () => outbox.Count + (this.remote?.Waiting ?? 0), clock);

        adviser = new Adviser(
            Destination.Ingest,
            () => client?.AskForRoute(settings.Timeout, signals.AtOnce) ?? default, clock, log, signals.AtOnce);

        var watch = new SourceWatch(settings, slow.Faults, log);
        metrics = record is null ? null : Metrics(watch);
        this.remote = remote is null
            ? null
            : new RemoteWriter(
                remote.Outbox, remote.Client, remote.Headers, settings, clock, log, service, signals, error =>
                {
                    remoteDefect = error;
                    sampling.Stop();
                });

        sampler = new Sampler(
            files,
            slow.Facts,
            settings,
            new Identity(version, settings.Hostname, RuntimeInformation.FrameworkDescription, Environment.ProcessId),
            watch,
            clock,
            record is null || metrics is null
                ? null
                : (previous, sample, snapshot) =>
                {
                    metrics.Publish(previous, sample, snapshot, record.MemoryText, record.States(snapshot));
                    this.remote?.Take(metrics.Machine().Value, metrics.Agent());
                },
            slow.RefreshDevices);
    }

    /// <summary>
    /// Runs until a signal, or with --once until its one attempt is over. True when that attempt was accepted, and
    /// always without --once.
    /// </summary>
    public bool Run()
    {
        slow.Start();
        Announce();
        Serve();

        Exception? defect = null;
        void Fail(Exception error)
        {
            defect = error;
            sampling.Stop();
        }

        using var run = settings.DryRun
            ? Pipeline
                .Samples(sampler, settings.CpuWindow, settings.Interval, settings.Once, sampling)
                .Do(Print)
                .Subscribe(static _ => { }, Fail, sampling.Stop)
            : Pipeline
                .Run(
                    sampler,
                    Buffer,
                    new Poster(outbox, Post, posting, settings.Interval, Random.Shared.NextDouble, signals.Orderly),
                    settings.CpuWindow,
                    settings.Interval,
                    settings.Once,
                    sampling)
                .Subscribe(Report, Fail, sampling.Stop);

        // The first sample may be waiting for a slow source.
        using var stop = signals.Orderly.Register(() =>
        {
            sampling.Stop();
            slow.Stop();
        });
        signals.OnUser1 = SwitchGpus;
        service.WatchOver(sampling);

        // Printing is all that a dry run has to do with a sample: a second thread would only have to be woken for it.
        var postingThread = settings.DryRun ? null : new Thread(posting.Run, maxStackSize: 512 * 1024) { Name = "posting" };
        postingThread?.Start();
        remote?.Start();
        sampling.Run();
        service.Stopping();

        // The request in flight may finish; its own time-out limits the wait.
        posting.Stop();
        postingThread?.Join();
        slow.Stop();
        remote?.Stop();

        if ((defect ?? remoteDefect) is { } error)
        {
            ExceptionDispatchInfo.Throw(error);
        }

        SayGoodbye();
        return !settings.Once || accepted;
    }

    /// <summary>Takes so many samples one right after the other, each with its rates and its label, and sends none.</summary>
    public SamplingCost Measure(int samples)
    {
        slow.Start();
        sampler.Take().Release();
        var before = FSharpValueOption<Sample>.None;

        var cost = SamplingCost.Of(samples, clock, () =>
        {
            sampler.Take().Release();
            var sample = sampler.Newest!;
            _ = BottleneckModule.Of(sample, DerivedModule.From(before, sample));
            before = FSharpValueOption<Sample>.NewValueSome(sample);
        });

        slow.Stop();
        return cost;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        files.Dispose();
        remote?.Dispose();
    }

    private MetricsSource Metrics(SourceWatch watch) => new(
        version,
        settings,
        slow.Facts,
        slow.Sensors,
        slow.States,
        () => watch.Failures + Interlocked.Read(ref defects),
        Destinations,
        files.ReadDomainName(),
        clock);

    private DestinationState[] Destinations()
    {
        var dropped = outbox.Dropped;
        DestinationState[] ingest = client is null
            ? []
            :
            [
                new DestinationState(
                    "ingest",
                    outbox.Count,
                    Interlocked.Read(ref delivered),
                    dropped.Overflowed,
                    dropped.Refused,
                    dropped.Damaged,
                    default,
                    default),
            ];

        return remote is null ? ingest : [.. ingest, remote.State()];
    }

    private void Serve()
    {
        if (metrics is null)
        {
            return;
        }

        endpoint?.Start(new ScrapeAnswers(
            metrics.Machine,
            metrics.Agent,
            metrics.Age,
            settings.Interval,
            scrapeToken is null ? null : () => scrapeToken.Current,
            () => scrapeToken?.Refresh() ?? false,
            clock));
    }

    private SlowReadings SlowReadings()
    {
        if (firstSample)
        {
            firstSample = false;
            slow.WaitForFirst(FirstReadings);
        }

        TellGpus();
        return slow.Newest();
    }

    private void Sampled()
    {
        service.Sampled();
        log.Due();

        if (lateBy > 0)
        {
            log.Warning("sampling was late", $": {lateBy} sample(s) skipped");
            metrics?.Skipped(lateBy);
            lateBy = 0;
        }

        clockWatch.Observe();

        if (untilSettled > 0 && --untilSettled == 0)
        {
            StartUpMemory.GiveBack();
        }
    }

    private void Print(EncodedSample sample)
    {
        Sampled();
        log.ResultLine(sample.Body.Span);

        // Nobody is left to print for, as behind `| head -1`.
        if (log.IsOutputUnread)
        {
            sampling.Stop();
            slow.Stop();
        }
        sample.Release();
        service.Delivered();
        accepted = true;
    }

    private void Buffer(EncodedSample sample)
    {
        Sampled();
        newest = settings.Once ? sample : null;
        outbox.Add(sample);
        var overflowed = outbox.Dropped.Overflowed;

        if (overflowed > lost && !overflowing)
        {
            overflowing = true;
            log.Warning(
                $"{outbox.Limit} wait for delivery, which is the most that is held: from now on the oldest are dropped for new ones");
        }

        lost = overflowed;
    }

    // Without a webapp there is nothing in the outbox.
    private Outcome Post(ReadOnlyMemory<byte> body)
    {
        var exchange = client!.Post(body, signals.AtOnce);
        var outcome = Delivery.OfExchange(clock.GetUtcNow(), exchange);

        if (outcome.IsDelivered)
        {
            adviser.ConsiderDelivered(exchange);
        }
        else
        {
            adviser.Consider(exchange);
        }

        return outcome;
    }

    private void Report(Attempt attempt)
    {
        attempt.Outcome.Match(
            delivered: receipt =>
            {
                accepted = newest is not null && attempt.Sample.Body.Span.SequenceEqual(newest.Body.Span);
                Interlocked.Increment(ref delivered);
                log.Over(NotDelivered);
                service.Delivered();

                log.Routine(Delivery.ReceiptLine(receipt));

                if (overflowing && outbox.Count == 0)
                {
                    overflowing = false;
                    log.Warning($"the backlog is delivered; {outbox.Dropped.Overflowed} samples were dropped for lack of room");
                }

                return 0;
            },
            retryAfter: (_, reason) => Complain(reason, Waiting(attempt)),
            hold: reason => Complain(reason, Waiting(attempt)),
            reject: reason => Complain(reason, attempt.Step.Match(
                next: static () => "",
                wait: static _ => "",
                setAside: static () => "; this sample is put aside",
                takeBack: delay => $"; the third refusal in a row for this reason, all are kept, next attempt in {Seconds(delay)} s")));
    }

    private int Complain(string reason, string consequence)
    {
        service.NotDelivered(reason);
        log.Warning($"{NotDelivered}: {reason}", settings.Once ? "" : consequence);
        return 0;
    }

    private string Waiting(Attempt attempt) => attempt.Step.Match(
        next: static () => "",
        wait: delay => $"; {outbox.Count} held, next attempt in {Seconds(delay)} s",
        setAside: static () => "",
        takeBack: static _ => "");

    private static string Seconds(TimeSpan delay) => delay.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture);

    private void Announce()
    {
        if (settings.DryRun)
        {
            return;
        }

        string[] goals =
        [
            .. settings.Target.IsSome ? [$"{settings.Target.Value.Host} as {settings.Target.Value.Slug}"] : (string[])[],
            .. endpoint is null ? (string[])[] : [$"metrics at http://{endpoint.Address}/metrics"],
            .. settings.RemoteWrite.IsSome ? [$"remote-write to {settings.RemoteWrite.Value.Shown}"] : (string[])[],
        ];
        var disks = files.ReadDisks().Match(
            all => Devices.SelectDisks(new DeviceFiles(settings.SysFs).ReadBlocks(), settings.Disks, all).Tracked.Select(static disk => disk.Device),
            static _ => []);
        var names = string.Join(",", disks);

        log.Routine(
            $"{Cli.ProgramName} {version} | {goals[0]} | every "
            + $"{settings.Interval.TotalSeconds.ToString(CultureInfo.InvariantCulture)} s | disks: {(names.Length > 0 ? names : "none")} | GPUs: "
            + Diagnosis.GpusInSight(settings.GpuReader, GpuPlaces.Look(settings.SysFs, settings.ProcFs)));

        foreach (var goal in goals[1..])
        {
            log.Routine(goal);
        }
    }

    /// <summary>What the thread of a source threw: that source is lost or read again later, and all else goes on.</summary>
    private void OnDefect(string source, Exception defect)
    {
        Interlocked.Increment(ref defects);
        log.Error($"{source}: a defect of the agent, please report it: {defect}");
    }

    /// <summary>Lets go of the GPUs, or takes them up again: while they are let go of, they can be reset or divided.</summary>
    private void SwitchGpus()
    {
        slow.AreGpusReleased = !slow.AreGpusReleased;
        log.Info(slow.AreGpusReleased
            ? "SIGUSR1: the GPUs are let go of and have no values until the next SIGUSR1"
            : "SIGUSR1: the GPUs are read again");
    }

    /// <summary>A line with the GPUs once they are known and whenever they change, and advice whenever its cause does.</summary>
    private void TellGpus()
    {
        if (slow.GpuFinding is not { } found)
        {
            return;
        }

        if (found.Summary != gpus.Summary && !settings.DryRun)
        {
            log.Routine($"GPUs: {found.Summary}");
        }

        if (found.Advice.Length > 0 && Repetition.Gist(found.Advice) != Repetition.Gist(gpus.Advice))
        {
            log.Warning($"advice: {found.Advice}");
        }

        gpus = found;
    }

    private void SayGoodbye()
    {
        var dropped = outbox.Dropped;
        var kept = outbox.Kept;
        var inMemory = outbox.Count - kept;

        if (kept > 0)
        {
            log.Info($"not delivered yet and kept in the spool: {kept}");
        }

        if (!settings.Once && inMemory + dropped.Total > 0)
        {
            log.Warning(
                $"{NotDelivered}: {inMemory} still held in memory, {dropped.Refused} refused by the webapp, "
                + $"{dropped.Overflowed} dropped for lack of room, {dropped.Damaged} damaged on disk");
        }

        if (!settings.Once && !settings.DryRun)
        {
            log.Routine("Agent stopped.");
        }
    }
}
