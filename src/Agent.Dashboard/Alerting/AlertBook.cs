using Agent.Dashboard.Store;
using Agent.Receiver;
using Agent.Receiver.Alerts;

namespace Agent.Dashboard.Alerting;

/// <summary>
/// The alerts, the rules and the silences as they are: what changes them is written with what follows from it, the messages that wait to be
/// delivered among it, in one transaction of the writer. Nothing is lost or told twice by a restart.
/// </summary>
internal sealed class AlertBook
{
    private readonly IStateStore store;
    private readonly RuleSettings file;
    private readonly string[] channels;
    private readonly AgentClock clock;

    /// <summary>On the writer's thread alone, within its transactions.</summary>
    private AlertState state = AlertStateModule.empty;

    /// <summary>False while what is held in memory may differ from what is on disk. On the writer's thread alone.</summary>
    private bool isLoaded;

    private volatile Held held;

    /// <summary>Nothing is read yet: the first look does that.</summary>
    /// <param name="store">Keeps them.</param>
    /// <param name="file">What the file of alerts says of rules, maintenance and routes.</param>
    /// <param name="channels">The names of the channels.</param>
    /// <param name="clock">The receiver's.</param>
    public AlertBook(IStateStore store, RuleSettings file, string[] channels, AgentClock clock)
    {
        this.store = store;
        this.file = file;
        this.channels = channels;
        this.clock = clock;
        held = new Held(file, RuleSettingsModule.empty, [], 0, 0);
        store.OnForget = () => isLoaded = false;
    }

    /// <summary>What the file says.</summary>
    public RuleSettings File => file;

    /// <summary>What was set on the page, the silences and the counts, as they are on disk. For any thread.</summary>
    public Held Now => held;

    private long Microseconds => RowKey.Microseconds(clock.GetUtcNow());

    /// <summary>Reads what there is; done when that is known.</summary>
    public Task<bool> Load() => Change(static (_, _, _) => { });

    /// <summary>Reads the rows of alerts, and all else anew where another dashboard has changed it; done when that is known.</summary>
    public Task<bool> Read(Action<AlertRows> look) => Change((rows, _, _) => look(rows));

    /// <summary>Reads what other dashboards have changed, where there are others; done when that is known.</summary>
    public Task<bool> Refresh() => store.IsShared ? Load() : Task.FromResult(true);

    /// <summary>
    /// What becomes of the alerts by what is seen; done when it is on disk. Where another dashboard looks, what came of that is read.
    /// </summary>
    public Task Look(MachineSeen[] seen) => store.IsHolder ? store.Evaluate((rows, events, outbox) =>
    {
        Prepare(rows);
        Step(seen, rows, events, outbox);
    }) : Load();

    private void Step(MachineSeen[] seen, AlertRows rows, EventRows events, OutboxRows outbox)
    {
        var now = Microseconds;
        var (stepped, transitions) = AlertStateModule.Step(now, held.Rules, seen, state);
        var (after, batches) = GroupingModule.Due(now, held.Grouping, held.Rules, stepped);
        Write(rows, now, transitions, after);

        foreach (var transition in transitions)
        {
            var alert = transition.Alert;
            events.Add(
                alert.Cause.Server,
                transition.IsBegan
                    ? new Happening(alert.FiredAt, EventKind.Alert, alert.What)
                    : new Happening(alert.EndedAt, EventKind.Alert, $"Over: {alert.What}"));
        }

        foreach (var batch in batches)
        {
            rows.SetTold(batch.Rule, now);

            foreach (var channel in channels)
            {
                Notice[] notices = [.. batch.Notices
                    .Where(told => RuleSettingsModule.Gets(file.Routes, channel, told.Item1))
                    .Select(static told => told.Item2)];

                if (notices.Length > 0)
                {
                    outbox.Add(channel, notices, now);
                }
            }
        }
    }

    /// <summary>Somebody has taken note of an alert; the alert then, null where none of that number is open. Null with a failure where it is not on disk.</summary>
    public Task<(bool IsStored, Alert? Alert)> Acknowledge(long number, string author) =>
        ChangeOne(number, now => AlertStateModule.Acknowledge(now, author, number, state));

    /// <summary>An alert is quiet until an instant, or no longer (-1); as above.</summary>
    public Task<(bool IsStored, Alert? Alert)> Mute(long number, long until) =>
        ChangeOne(number, _ => AlertStateModule.Mute(until, number, state));

    /// <summary>Sets the rules of the page; done when they are on disk, and from then on they hold.</summary>
    public Task<bool> SetRules(RuleSettings page) => Change((rows, _, _) =>
    {
        rows.SaveRules(RuleSettingsModule.Text(page));
        held = held with { Page = page };
    });

    /// <summary>Adds a silence and gives it a number; null where there are as many as there may be.</summary>
    public async Task<(bool IsStored, Silence? Silence)> Add(Silence silence)
    {
        Silence? added = null;
        var isStored = await Change((rows, _, _) =>
        {
            var now = Microseconds;

            // What is over for good makes room.
            foreach (var past in held.Silences.Where(one => SilenceModule.IsPast(now, one)))
            {
                rows.Remove(past.Id);
            }

            Silence[] left = [.. held.Silences.Where(one => !SilenceModule.IsPast(now, one))];

            if (left.Length < SilenceModule.Most)
            {
                added = AlertJson.Numbered(rows.Add(silence), silence.Author, silence);
                left = [.. left, added];
            }

            held = held with { Silences = left };
        });
        return (isStored, added);
    }

    /// <summary>Removes a silence; false where there is none of that number.</summary>
    public async Task<(bool IsStored, bool IsKnown)> Remove(long silence)
    {
        var isKnown = false;
        var isStored = await Change((rows, _, _) =>
        {
            isKnown = held.Silences.Any(one => one.Id == silence);
            rows.Remove(silence);
            held = held with { Silences = [.. held.Silences.Where(one => one.Id != silence)] };
        });
        return (isStored, isKnown);
    }

    private async Task<(bool IsStored, Alert? Alert)> ChangeOne(long number, Func<long, Microsoft.FSharp.Core.FSharpValueOption<AlertState>> change)
    {
        Alert? found = null;
        var isStored = await Change((rows, _, _) =>
        {
            var now = Microseconds;

            if (change(now) is { IsValueSome: true, Value: var after })
            {
                Write(rows, now, [], after);
                found = AlertJson.Find(number, after);
            }
        });
        return (isStored, found);
    }

    /// <summary>Writes what differs. Within a transaction.</summary>
    private void Write(AlertRows rows, long now, Transition[] transitions, AlertState after)
    {
        var (put, deleted) = AlertJson.Differences(now, transitions, state, after);

        // A cause that is gone makes room for one that begins.
        foreach (var number in deleted)
        {
            rows.Delete(number);
        }

        foreach (var alert in put)
        {
            rows.Put(alert);
        }

        state = after;
        var (critical, warning) = AlertJson.OpenIn(after);
        held = held with { Critical = critical, Warning = warning };
    }

    private Task<bool> Change(Action<AlertRows, EventRows, OutboxRows> work) => store.Alert((rows, events, outbox) =>
    {
        Prepare(rows);
        work(rows, events, outbox);
    });

    /// <summary>Reads what there is where that may differ from what is remembered. Within a transaction.</summary>
    private void Prepare(AlertRows rows)
    {
        if (!isLoaded)
        {
            state = rows.Load();
            var page = RuleSettingsModule.OfBody(System.Text.Encoding.UTF8.GetBytes(rows.Rules()));
            var (critical, warning) = AlertJson.OpenIn(state);
            held = new Held(file, page.IsOk ? page.ResultValue : RuleSettingsModule.empty, [.. rows.Silences()], critical, warning);
            isLoaded = true;
        }
    }

    /// <summary>What holds at present.</summary>
    /// <param name="File">What the file says.</param>
    /// <param name="Page">What was set on the page.</param>
    /// <param name="Silences">Those of the page.</param>
    /// <param name="Critical">How many critical alerts are open.</param>
    /// <param name="Warning">How many others.</param>
    internal sealed record Held(RuleSettings File, RuleSettings Page, Silence[] Silences, int Critical, int Warning)
    {
        /// <summary>The rules and all silences.</summary>
        public AlertRules Rules => RuleSettingsModule.Merge(File, Page, Silences).Item1;

        /// <summary>How notices are gathered.</summary>
        public Grouping Grouping => RuleSettingsModule.Merge(File, Page, Silences).Item2;
    }
}
