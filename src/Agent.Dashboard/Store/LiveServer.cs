using Agent.Core;
using Agent.Outbound;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>A sample that is held in memory, with the devices its figures belong to.</summary>
internal sealed record HeldSample(StoredSample Stored, Layout Layout)
{
    /// <summary>Its key.</summary>
    public long Key => Stored.Id;
}

/// <summary>
/// What the receiver knows of one server: its registration, its last samples, so that neighbours need not be read, and which of its
/// minutes are not rolled up. The writer's thread alone changes it; others look at <see cref="View"/>, which shows what is on disk.
/// </summary>
internal sealed class LiveServer
{
    /// <summary>So many samples are held: as many as requests in flight may bring out of order.</summary>
    private const int MostHeld = 16;

    /// <summary>Minutes of the lines on a card, that of the newest sample among them.</summary>
    public const int SparkMinutes = 60;

    private readonly Lock gate = new();
    private readonly List<HeldSample> recent = new(MostHeld + 1);
    private readonly long[] sparkMinutes = new long[SparkMinutes];
    private readonly double[] sparkCpu = new double[SparkMinutes];
    private readonly double[] sparkGpu = new double[SparkMinutes];
    private FSharpValueOption<DateTimeOffset> lastSeen;

    /// <summary>The same with the samples of a transaction that is under way.</summary>
    private FSharpValueOption<DateTimeOffset> nextSeen;
    private VerdictState judging = VerdictState.Empty;
    private bool isJudging;
    private Watched watched = Happenings.nothing;
    private bool isWatching;

    /// <summary>What the agent said of itself when the samples were read that are held.</summary>
    private string agentBefore;
    private string? jobLabel;
    private volatile ServerView view;
    private volatile Registration registration;
    private volatile string agent;

    /// <summary>A server without samples so far.</summary>
    public LiveServer(Registration registration, string agent)
    {
        this.registration = registration;
        this.agent = agentBefore = agent;
        view = Current();
    }

    /// <summary>As registered.</summary>
    public Registration Registration
    {
        get => registration;
        set => registration = value;
    }

    /// <summary>Its number.</summary>
    public int Id => registration.Id;

    /// <summary>As it is shown: what is on disk.</summary>
    public ServerView View => view;

    /// <summary>The devices of the newest sample, and their number in the database; -1 before the first.</summary>
    public (Layout Layout, int Id) Layout { get; set; } = (LayoutModule.empty, -1);

    /// <summary>Minutes that have samples which are not rolled up.</summary>
    public HashSet<long> Dirty { get; } = [];

    /// <summary>Of the dirty ones those that are rolled up as their samples come.</summary>
    public OpenMinutes OpenMinutes { get; } = new();

    /// <summary>How many samples the dirty ones have, as far as they were counted.</summary>
    public Dictionary<long, int> Counted { get; } = [];

    /// <summary>Quarters of an hour of which a minute has changed since they were put together.</summary>
    public HashSet<long> QuartersDue { get; } = [];

    /// <summary>From this minute on it is to be looked whether quarters are missing; null once that is done.</summary>
    public long? QuarterToLookAt { get; set; } = 0;

    /// <summary>Samples before this may have been pruned, in microseconds.</summary>
    public long PrunedUntil { get; set; }

    /// <summary>What the agent said of itself last, as JSON.</summary>
    public string Agent => agent;

    /// <summary>What the agent said of itself as it was sent, to see when it changes.</summary>
    public byte[] AgentAsSent { get; private set; } = [];

    /// <summary>True while what the agent says of itself is newer than what is on disk.</summary>
    public bool AgentIsNews { get; set; }

    /// <summary>The samples that are held, in the order of time.</summary>
    public IReadOnlyList<HeldSample> Recent => recent;

    /// <summary>
    /// The minute of the newest sample, whose samples stay however old they are: the newest is shown as long as none follows, and it is
    /// the one that an agent sends again whose answer was lost.
    /// </summary>
    public long NewestMinute => RowKey.MinuteAt(NewestAt);

    /// <summary>When the newest sample was collected, in microseconds; 0 when there is none.</summary>
    public long NewestAt => recent.Count > 0 ? RowKey.TimeOf(recent[^1].Key) : 0;

    /// <summary>The key of the newest sample; 0 when there is none.</summary>
    public long NewestKey => recent.Count > 0 ? recent[^1].Key : 0;

    /// <summary>Its jobs that are not over, by what the agent calls them.</summary>
    public Dictionary<string, HeldJob> Jobs { get; } = new(StringComparer.Ordinal);

    /// <summary>What was said of it with its newest sample; null before anything was.</summary>
    public Judgement? Judgement { get; set; }

    /// <summary>What the GPU time of its jobs went into, where samples are passed on to a cluster.</summary>
    public JobAccounts Accounts { get; set; } = JobAccounts.Empty;

    /// <summary>The user's label <c>job</c>, of which its jobs are parts; empty when there is none.</summary>
    public string JobLabel => jobLabel ??= JobRecordModule.LabelOf("job", agent);

    /// <summary>What was kept of that last, and when, in microseconds.</summary>
    public Judgement? Kept { get; set; }

    /// <summary>When that was, in microseconds.</summary>
    public long KeptAt { get; set; }

    /// <summary>Takes what the agent says of itself.</summary>
    public void TakeAgent(byte[] asSent, string kept)
    {
        AgentAsSent = asSent;
        agentBefore = agent;
        agent = kept;
        jobLabel = null;
        AgentIsNews = true;
    }

    /// <summary>Whether the agent says of itself what it said before.</summary>
    public bool SaysTheSame(ReadOnlySpan<byte> asSent) => asSent.SequenceEqual(AgentAsSent);

    /// <summary>Holds a sample. One that is older than all that are held is not.</summary>
    public void Hold(HeldSample sample)
    {
        var place = recent.Count;

        while (place > 0 && recent[place - 1].Key > sample.Key)
        {
            place--;
        }

        recent.Insert(place, sample);

        if (recent.Count > MostHeld)
        {
            recent.RemoveAt(0);
        }

        // Rates of the newest follow from the one before it; whatever comes late is rolled up from what is read.
        for (var old = recent.Count - 3; old >= 0 && recent[old].Stored.Report.Details != Details.none; old--)
        {
            recent[old] = recent[old] with { Stored = recent[old].Stored.WithoutDetails };
        }

        if (!nextSeen.IsValueSome || nextSeen.Value < sample.Stored.ReceivedAt)
        {
            nextSeen = FSharpValueOption<DateTimeOffset>.NewValueSome(sample.Stored.ReceivedAt);
        }
    }

    /// <summary>Puts a sample in the place of the one of the same key, if that is held.</summary>
    public void Replace(HeldSample sample)
    {
        var place = recent.FindIndex(held => held.Key == sample.Key);

        if (place >= 0)
        {
            recent[place] = sample;
        }
    }

    /// <summary>Holds a sample no longer, which was not kept after all.</summary>
    public void Drop(long key) => recent.RemoveAll(held => held.Key == key);

    /// <summary>
    /// What the dashboard says of it after one more sample, the newest, whose sender says nothing; null where that cannot be said yet.
    /// </summary>
    public Judgement? Judge(Measured current)
    {
        Measured? before = null;

        // After a start, and after an agent that spoke for itself: what is held is looked at first.
        if (!isJudging)
        {
            isJudging = true;

            foreach (var held in recent)
            {
                (judging, _) = Judging.Step(judging, Maybe.Of(before), held.Stored.Derivation.Measured);
                before = held.Stored.Derivation.Measured;
            }
        }
        else if (recent.Count > 0)
        {
            before = recent[^1].Stored.Derivation.Measured;
        }

        (judging, var said) = Judging.Step(judging, Maybe.Of(before), current);
        return said.IsValueSome ? said.Value : null;
    }

    /// <summary>What has happened since the samples that are held, now that there is a newer one.</summary>
    public Happening[] Observe(Report report, FSharpValueOption<AgentFacts> facts)
    {
        if (!isWatching)
        {
            isWatching = true;
            var known = Happenings.FactsOf(agentBefore);

            foreach (var held in recent)
            {
                (watched, _) = Happenings.Step(watched, held.Stored.Report, known);
            }
        }

        (watched, var happened) = Happenings.Step(watched, report, facts);
        return happened;
    }

    /// <summary>Its agent says itself what is to be said.</summary>
    public void StopJudging()
    {
        isJudging = false;
        judging = VerdictState.Empty;
    }

    /// <summary>Forgets the samples, to read them again.</summary>
    public void Forget()
    {
        StopJudging();
        watched = Happenings.nothing;
        isWatching = false;
        Jobs.Clear();
        Judgement = Kept = null;
        KeptAt = 0;
        recent.Clear();
        nextSeen = lastSeen;
        Layout = (LayoutModule.empty, -1);
        Dirty.Clear();
        Counted.Clear();
        OpenMinutes.Clear();
        QuartersDue.Clear();
        QuarterToLookAt = 0;
    }

    /// <summary>Shows what is now on disk.</summary>
    public void Publish()
    {
        lastSeen = nextSeen;
        view = Current();
    }

    /// <summary>Remembers the greatest CPU and GPU use of a minute; NaN where not known.</summary>
    public void Spark(long minute, double cpu, double gpu)
    {
        lock (gate)
        {
            var place = minute % SparkMinutes;

            if (sparkMinutes[place] > minute)
            {
                return;
            }

            if (sparkMinutes[place] < minute)
            {
                sparkMinutes[place] = minute;
                sparkCpu[place] = double.NaN;
                sparkGpu[place] = double.NaN;
            }

            // A comparison with NaN is false.
            sparkCpu[place] = sparkCpu[place] >= cpu ? sparkCpu[place] : double.IsNaN(cpu) ? sparkCpu[place] : cpu;
            sparkGpu[place] = sparkGpu[place] >= gpu ? sparkGpu[place] : double.IsNaN(gpu) ? sparkGpu[place] : gpu;
        }
    }

    /// <summary>The hour that ends with the minute of <paramref name="now"/>.</summary>
    public Spark SparkUntil(DateTimeOffset now)
    {
        var last = RowKey.MinuteAt(RowKey.Microseconds(now));
        var cpu = new double[SparkMinutes];
        var gpu = new double[SparkMinutes];

        lock (gate)
        {
            for (var index = 0; index < SparkMinutes; index++)
            {
                var minute = last - SparkMinutes + 1 + index;
                var place = minute % SparkMinutes;
                var known = sparkMinutes[place] == minute;
                cpu[index] = known ? sparkCpu[place] : double.NaN;
                gpu[index] = known ? sparkGpu[place] : double.NaN;
            }
        }

        return new Spark(RowKey.Instant((last + 1) * RowKey.MicrosecondsPerMinute), cpu, gpu);
    }

    private ServerView Current()
    {
        if (recent.Count == 0)
        {
            return new ServerView(
                registration,
                lastSeen,
                FSharpValueOption<double>.ValueNone,
                agent,
                FSharpValueOption<StoredSample>.ValueNone,
                Maybe.Of(Judgement));
        }

        var newest = recent[^1].Stored;
        return new ServerView(
            registration,
            lastSeen,
            newest.Derivation.Rates.Derived.Interval,
            agent,
            FSharpValueOption<StoredSample>.NewValueSome(newest),
            Maybe.Of(Judgement));
    }
}
