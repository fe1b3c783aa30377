using System.Security.Cryptography;
using Agent.Core;
using Agent.Outbound;
using Agent.Receiver;
using Agent.Receiver.Cluster;
using Agent.Dashboard.Cluster;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>What became of a sample.</summary>
internal enum IngestResult
{
    /// <summary>It is on disk.</summary>
    Stored,

    /// <summary>It was on disk already.</summary>
    Known,

    /// <summary>Its server is not registered any more.</summary>
    Gone,

    /// <summary>Its server's samples are refused.</summary>
    Disabled,

    /// <summary>Its token is not that of the server any more.</summary>
    WrongToken,

    /// <summary>Its minute has as many samples as it may.</summary>
    MinuteIsFull,

    /// <summary>Its server has come with too many combinations of devices of late.</summary>
    TooManyLayouts,

    /// <summary>The outbox of the cluster that samples are passed on to did not take it.</summary>
    NotRelayed,

    /// <summary>The disk did not take it.</summary>
    Failed,
}

/// <summary>A sample on its way to the disk.</summary>
internal sealed class IngestJob(
    LiveServer server,
    byte[] tokenHash,
    Report report,
    Judgement? judgement,
    DateTimeOffset receivedAt,
    byte[] agentAsSent,
    string agent)
{
    private readonly TaskCompletionSource<IngestResult> done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Where it came from.</summary>
    public LiveServer Server { get; } = server;

    /// <summary>Its place in the table.</summary>
    public long Key { get; } = RowKey.Sample(server.Id, RowKey.Microseconds(report.CollectedAt));

    /// <summary>What it says.</summary>
    public Report Report { get; } = report;

    /// <summary>The same as rates are derived from it; made before it comes to the writer's thread, which is the bottleneck.</summary>
    public Measured Measured { get; } = DerivationModule.Measure(report);

    /// <summary>What its sender says of its machine and of its jobs; null where it says nothing.</summary>
    public Judgement? Judgement { get; } = judgement;

    /// <summary>
    /// Whether there is time to see what has happened, and to judge where its sender does not: with a crowd before the door its server's last word stands.
    /// </summary>
    public bool MayBeJudged { get; set; } = true;

    /// <summary>By the receiver's clock.</summary>
    public DateTimeOffset ReceivedAt { get; } = receivedAt;

    /// <summary>What the agent says of itself, if that is news; else empty.</summary>
    public byte[] AgentAsSent { get; } = agentAsSent;

    /// <summary>The same as it is kept.</summary>
    public string Agent { get; } = agent;

    /// <summary>What that says about the agent's start; none if it says nothing new.</summary>
    public FSharpValueOption<AgentFacts> Facts { get; } = Happenings.FactsOf(agent);

    /// <summary>What its server may still send; null for no limit.</summary>
    public Quota? Quota { get; init; }

    /// <summary>What a cluster of metrics says with it; null for a sample that was posted.</summary>
    public ClusterReport? Found { get; init; }

    /// <summary>As it goes to the cluster of metrics that samples are passed on to; empty until then, and without one.</summary>
    public byte[] Record { get; set; } = [];

    /// <summary>Why it is not stored, where that is not the database's fault.</summary>
    public string Problem { get; set; } = "";

    /// <summary>As it is stored; null until then.</summary>
    public StoredSample? Stored => Held?.Stored;

    /// <summary>The same with its devices.</summary>
    public HeldSample? Held { get; set; }

    /// <summary>What has become of it, once the transaction is over.</summary>
    public IngestResult Result { get; set; } = IngestResult.Failed;

    /// <summary>Ends when the sample is on disk, or will not be.</summary>
    public Task<IngestResult> Done => done.Task;

    /// <summary>Whether the token is still that of the server.</summary>
    public bool HasTokenOf(Registration registration) =>
        CryptographicOperations.FixedTimeEquals(tokenHash, registration.TokenHash);

    /// <summary>Notifies those who wait.</summary>
    public void Finish() => done.TrySetResult(Result);
}

/// <summary>Puts samples in their places among those of their server. On the writer's thread, within its transaction.</summary>
internal sealed class Ingestion(SampleRows rows, Layouts layouts, Minutes minutes, JobRows jobs, JudgementRows judgements, EventRows events)
{
    /// <summary>Stores a sample, or finds that it is stored already.</summary>
    public void Store(IngestJob job)
    {
        var server = job.Server;

        if (!Place(job, out var previous, out var next, out var known))
        {
            job.Held = known;
            job.Result = IngestResult.Known;
            return;
        }

        if (!HasLayout(server, job))
        {
            job.Result = IngestResult.TooManyLayouts;
            return;
        }

        var layout = server.Layout;

        if (minutes.IsFull(server, job.Key, Series.slots(layout.Layout) + Details.Slots(layout.Layout.Details)))
        {
            job.Result = IngestResult.MinuteIsFull;
            return;
        }

        var derivation = DerivationModule.Between(
            Maybe.Of(previous?.Stored.Derivation.Measured), job.Measured);
        var delay = (long)Math.Round((job.ReceivedAt - job.Report.CollectedAt).TotalMilliseconds);
        var label = DerivationModule.LabelCode(derivation);

        // The jobs that are new are named by the labels that come with them.
        if (job.AgentAsSent.Length > 0)
        {
            server.TakeAgent(job.AgentAsSent, job.Agent);
        }

        var isNewest = server.Recent.Count == 0 || job.Key > server.Recent[^1].Key;
        var said = Said(job, isNewest);

        // What one sample is not looked at for, the next one still shows.
        if (isNewest && job.MayBeJudged)
        {
            Observe(job);
        }

        rows.Insert(job.Key, layout.Id, delay, label, job.Report, said);
        // As the row says it, to the millisecond, and not otherwise until the next start.
        var receivedAt = job.Report.CollectedAt.AddMilliseconds(delay);
        var stored = new StoredSample(job.Key, receivedAt, job.Report, derivation);
        var held = new HeldSample(stored, layout.Layout);

        if (server.Recent.Count == 0 || job.Key > server.Recent[0].Key)
        {
            server.Hold(held);
        }

        minutes.Take(
            server,
            job.Key,
            RowKey.Microseconds(job.ReceivedAt),
            layout.Layout,
            PointModule.Of(layout.Layout, job.Report, derivation.Rates, label),
            said,
            (previous?.Key, next?.Key));

        if (next is not null)
        {
            Reconsider(server, held, next);
        }

        job.Held = held;
        job.Result = IngestResult.Stored;
    }

    /// <summary>
    /// Shows a sample that was found in a cluster of metrics, where it stays: it is derived, judged and held like one that was posted, and no row of it
    /// is written. What has happened is noted, since alerts ask for it.
    /// </summary>
    public void Show(IngestJob job, ClusterReport found)
    {
        var server = job.Server;

        // Looks come one after the other; what is not newer was seen.
        if (job.Key <= server.NewestKey)
        {
            job.Result = IngestResult.Known;
            return;
        }

        var derivation = DerivationModule.Between(
            Maybe.Of(server.Recent.Count == 0 ? null : server.Recent[^1].Stored.Derivation.Measured), job.Measured);

        if (job.AgentAsSent.Length > 0)
        {
            server.TakeAgent(job.AgentAsSent, job.Agent);
        }

        var judgement = ClusterMachines.Judge(
            job.Report.CollectedAt, found.Said, found.Evidence, found.Jobs, Maybe.Of(server.Judge(job.Measured)), Maybe.Of(server.Judgement));
        server.Judgement = judgement.IsValueSome ? judgement.Value : null;
        Observe(job);

        if (!LayoutModule.Fits(server.Layout.Layout, job.Report))
        {
            server.Layout = (LayoutModule.Of(job.Report), -1);
        }

        var held = new HeldSample(new StoredSample(job.Key, job.ReceivedAt, job.Report, derivation), server.Layout.Layout);
        server.Hold(held);
        job.Held = held;
        job.Result = IngestResult.Stored;
    }

    /// <summary>
    /// Shows a posted sample, as <see cref="Show"/> does, and makes the record of it that goes to the cluster, where it is stored. One that is held is known.
    /// </summary>
    public void Pass(IngestJob job, Relay relay)
    {
        var server = job.Server;
        var before = server.Recent.LastOrDefault(held => held.Key <= job.Key);

        if (before?.Key == job.Key)
        {
            job.Held = before;
            job.Result = IngestResult.Known;
            return;
        }

        var derivation = DerivationModule.Between(Maybe.Of(before?.Stored.Derivation.Measured), job.Measured);
        var isNewest = job.Key > server.NewestKey;

        if (job.AgentAsSent.Length > 0)
        {
            server.TakeAgent(job.AgentAsSent, job.Agent);
        }

        if (isNewest)
        {
            if (job.Judgement is not null)
            {
                server.StopJudging();
            }

            server.Judgement = job.Judgement ?? (job.MayBeJudged ? server.Judge(job.Measured) : server.Judgement);

            if (job.MayBeJudged)
            {
                Observe(job);
            }

            if (!LayoutModule.Fits(server.Layout.Layout, job.Report))
            {
                server.Layout = (LayoutModule.Of(job.Report), -1);
            }
        }

        var said = isNewest ? server.Judgement : job.Judgement;

        if (isNewest)
        {
            server.Accounts = ClusterRelay.Accounts(job.Report.CollectedAt, Maybe.Of(said), server.Accounts);
        }

        // Counters of what comes late would be those of now.
        var accounts = isNewest ? server.Accounts : JobAccounts.Empty;
        job.Record = relay.Record(server, job.Report, derivation.Bottleneck.Label, said, accounts);
        var held = new HeldSample(new StoredSample(job.Key, job.ReceivedAt, job.Report, derivation), server.Layout.Layout);
        server.Hold(held);
        job.Held = held;
        job.Result = IngestResult.Stored;
    }

    /// <summary>What is said with a sample: by its sender, or by the dashboard where that says nothing and the sample is the newest.</summary>
    private VerdictPoint Said(IngestJob job, bool isNewest)
    {
        var server = job.Server;

        if (job.Judgement is not null && isNewest)
        {
            server.StopJudging();
        }

        if ((job.Judgement ?? (isNewest && job.MayBeJudged ? server.Judge(job.Measured) : null)) is not { } judgement)
        {
            return isNewest && !job.MayBeJudged && server.Judgement is { Source.IsDashboard: true } last
                ? new VerdictPoint(JobSchema.CodeOf(last.Machine.Label), [])
                : VerdictPointModule.none;
        }

        var points = jobs.Take(server, judgement, RowKey.TimeOf(job.Key), isNewest, () => job.Quota?.TakesJob() != false);

        if (isNewest)
        {
            server.Judgement = judgement;
            judgements.Keep(server, job.Key, judgement);
        }

        return new VerdictPoint(JobSchema.CodeOf(judgement.Machine.Label), points);
    }

    /// <summary>Notes what has happened since the sample before. A machine to which too much happens is believed the first part of it.</summary>
    private void Observe(IngestJob job)
    {
        foreach (var happening in job.Server.Observe(job.Report, job.Facts))
        {
            if (job.Quota?.TakesEvent() != false)
            {
                events.Add(job.Server.Id, happening);
            }
        }
    }

    /// <summary>A row with what is derived from it and the row before.</summary>
    public static HeldSample Held(SampleRow row, SampleRow? before) =>
        new(
            new StoredSample(
                row.Key,
                row.ReceivedAt,
                row.Report,
                DerivationModule.Between(
                    Maybe.Of(before is null ? null : DerivationModule.Measure(before.Report)),
                    DerivationModule.Measure(row.Report))),
            row.Layout);

    /// <summary>The neighbours in time of a sample that is new; false for one that is stored already.</summary>
    private bool Place(IngestJob job, out HeldSample? previous, out HeldSample? next, out HeldSample? known)
    {
        var recent = job.Server.Recent;
        previous = next = known = null;

        for (var place = recent.Count - 1; place >= 0; place--)
        {
            if (recent[place].Key == job.Key)
            {
                known = recent[place];
                return false;
            }

            if (recent[place].Key < job.Key)
            {
                previous = recent[place];
                return true;
            }

            next = recent[place];
        }

        if (recent.Count == 0)
        {
            return true;
        }

        // Older than all that are held.
        var before = rows.Before(job.Key);
        previous = before is null ? null : Held(before, null);

        if (rows.At(job.Key) is { } same)
        {
            known = Held(same, before);
            return false;
        }

        if (rows.After(job.Key) is { } after && after.Key != next!.Key)
        {
            next = Held(after, before);
        }

        return true;
    }

    /// <summary>Derives a sample again that now has a different predecessor.</summary>
    private void Reconsider(LiveServer server, HeldSample previous, HeldSample sample)
    {
        var derivation = DerivationModule.Between(
            Maybe.Of(previous.Stored.Derivation.Measured), sample.Stored.Derivation.Measured);
        rows.Relabel(sample.Key, DerivationModule.LabelCode(derivation));
        server.Replace(sample with
        {
            Stored = new StoredSample(sample.Key, sample.Stored.ReceivedAt, sample.Stored.Report, derivation),
        });
        minutes.Change(server, sample.Key);
    }

    /// <summary>Makes the layout of a sample that of its server; false where that may not be added.</summary>
    private bool HasLayout(LiveServer server, IngestJob job)
    {
        if (server.Layout.Id >= 0 && LayoutModule.Fits(server.Layout.Layout, job.Report))
        {
            return true;
        }

        var layout = LayoutModule.Of(job.Report);

        if (layouts.Identify(layout, () => job.Quota?.TakesLayout() != false) is not { } id)
        {
            return false;
        }

        server.Layout = (layout, id);
        return true;
    }
}
