using Agent.Receiver;
using Agent.Receiver.Alerts;
using Agent.Dashboard.Store;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Alerting;

/// <summary>
/// Delivers what waits in the outbox. Of each channel one message at a time is on its way, in their order; a channel that hangs holds no other
/// back. A message leaves the outbox in the transaction that says that it was accepted. If the program dies between the two it is sent once
/// more after the restart, with the same id.
/// </summary>
internal sealed class Courier : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(250);

    /// <summary>How often files are looked at, and counts are brought up to date.</summary>
    private static readonly TimeSpan UpkeepPeriod = TimeSpan.FromSeconds(2);

    /// <summary>When a message is due again of whose attempt nothing is heard, because the program died.</summary>
    private const long Lease = 30_000_000;

    /// <summary>Attempts that are under way at the end have so long to end by themselves: one that is cut off may be repeated.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    private readonly Channels channels;
    private readonly IStateStore store;
    private readonly AgentClock clock;
    private readonly Action<string> complain;
    private readonly Random random = new();
    private readonly CancellationTokenSource stop = new();
    private readonly CancellationTokenSource cut = new();
    private readonly Dictionary<string, Task> underWay = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> failing = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> dropped = new(StringComparer.Ordinal);
    private readonly Task loop;

    /// <summary>Starts.</summary>
    public Courier(Channels channels, IStateStore store, AgentClock clock, Action<string> complain)
    {
        this.channels = channels;
        this.store = store;
        this.clock = clock;
        this.complain = complain;
        loop = Task.Run(Run);
    }

    /// <summary>Ends; waits a few seconds for attempts that are under way.</summary>
    public void Dispose()
    {
        stop.Cancel();
        loop.Wait();
        var last = Task.WhenAll(Open());

        if (!last.Wait(clock.ToReal(Grace)))
        {
            cut.Cancel();
            last.Wait(clock.ToReal(Grace));
        }

        stop.Dispose();
        cut.Dispose();
    }

    private async Task Run()
    {
        var nextUpkeep = TimeSpan.Zero;

        while (!stop.IsCancellationRequested)
        {
            try
            {
                if (clock.Elapsed >= nextUpkeep)
                {
                    nextUpkeep = clock.Elapsed + UpkeepPeriod;
                    channels.Poll();
                    await Refresh();
                }

                var now = RowKey.Microseconds(clock.GetUtcNow());

                if (store.IsHolder && OutboxRows.MayBeDue(store.NextMessageAt, now))
                {
                    await Begin(now);
                }

                await Task.Delay(Period, clock, stop.Token);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception unforeseen)
            {
                Tell("", $"a defect: the alerts' delivery: {unforeseen.GetType().Name}: {unforeseen.Message}");
                await Pause();
            }
        }
    }

    /// <summary>Makes an attempt for the first message of each channel that has none under way.</summary>
    private async Task Begin(long now)
    {
        List<OutboxMessage> due = [];

        // Which are free is looked up on the writer's thread: an attempt that has ended until then wakes nobody afterwards.
        if (await store.Deliver(rows => due = rows.Claim(Free(), now, now + Lease)) != Kept.Yes)
        {
            await Pause();
            return;
        }

        foreach (var message in due)
        {
            lock (underWay)
            {
                underWay[message.Channel] = Task.Run(() => Attempt(channels.Find(message.Channel)!, message));
            }
        }
    }

    private async Task Attempt(Channel channel, OutboxMessage message)
    {
        AttemptEnd end;

        try
        {
            end = NoticeJson.Decode(message.Notices) is { IsOk: true, ResultValue: { Length: > 0 } notices }
                ? await channel.Send(message.MessageId, notices, cut.Token)
                : AttemptEnd.NewRefused("what the outbox holds of the message is damaged");
        }
        catch (Exception unforeseen)
        {
            end = AttemptEnd.NewFailed(
                FSharpValueOption<TimeSpan>.None, $"a defect: {unforeseen.GetType().Name}: {unforeseen.Message}");
        }

        await Settle(channel, message, end);

        lock (underWay)
        {
            underWay.Remove(message.Channel);
        }

        // What waits behind it was passed over as long as it was under way.
        await store.Look(static rows => rows.Wake());
    }

    /// <summary>Writes down how an attempt ended, for as long as it takes: what was accepted must not be sent again.</summary>
    private async Task Settle(Channel channel, OutboxMessage message, AttemptEnd end)
    {
        double jitter;

        lock (random)
        {
            jitter = random.NextDouble();
        }

        var now = RowKey.Microseconds(clock.GetUtcNow());
        var state = ChannelCounts.None;

        bool Write(OutboxRows rows)
        {
            var good = end.Match(
                answer => Do(() => rows.Delivered(message, now, answer)),
                reason => Do(() => rows.Refused(message, now, reason)),
                (asked, reason) => Do(() => rows.Failed(
                    message, now, now + (OutboxPlan.Wait(message.Attempt, asked, jitter).Ticks / TimeSpan.TicksPerMicrosecond), reason)));
            state = rows.CountsOf(message.Channel);
            return good;
        }

        while (await store.Deliver(rows => Write(rows)) is var kept && kept != Kept.Yes)
        {
            if (kept == Kept.NotHolder && (!end.IsDelivered || await store.Withdraw(message)))
            {
                // What else there is to write down is the holder's.
                return;
            }

            if (cut.IsCancellationRequested)
            {
                return;
            }

            await Pause();
        }

        channels.Take(message.Channel, state);
        Tell(channel, end, state);

        static bool Do(Action work)
        {
            work();
            return true;
        }
    }

    private void Tell(Channel channel, AttemptEnd end, ChannelCounts state)
    {
        var name = channel.Settings.Name;

        end.Match<object?>(
            _ =>
            {
                if (Forget(name))
                {
                    complain($"alerts: channel {name} delivers again");
                }

                return null;
            },
            reason =>
            {
                complain($"alerts: channel {name}: a message was refused and is set aside: {reason}");
                return null;
            },
            (_, reason) =>
            {
                Tell(name, $"alerts: channel {name}: {reason}; it is tried again, and {state.Waiting} messages wait");
                return null;
            });
    }

    /// <summary>Updates the counts and reports what was dropped.</summary>
    private async Task Refresh()
    {
        var found = new List<(string Name, ChannelCounts Counts)>();

        if (!await store.Look(rows =>
        {
            found.Clear();
            found.AddRange(channels.All.Select(channel => (channel.Settings.Name, rows.CountsOf(channel.Settings.Name))));
        }))
        {
            return;
        }

        foreach (var (name, counts) in found)
        {
            channels.Take(name, counts);
            var more = counts.Dropped - dropped.GetValueOrDefault(name, counts.Dropped);
            dropped[name] = counts.Dropped;

            if (more > 0)
            {
                complain(
                    $"alerts: channel {name}: {more} messages were dropped undelivered: at most {OutboxRows.MostWaiting} wait, and none for more than a day");
            }
        }
    }

    /// <summary>Tells of a failure where it is a new one of that channel.</summary>
    private void Tell(string name, string sentence)
    {
        lock (failing)
        {
            if (!failing.TryAdd(name, sentence))
            {
                return;
            }
        }

        complain(sentence);
    }

    private bool Forget(string name)
    {
        lock (failing)
        {
            return failing.Remove(name);
        }
    }

    private string[] Free()
    {
        lock (underWay)
        {
            return [.. channels.All.Select(static channel => channel.Settings.Name).Where(name => !underWay.ContainsKey(name))];
        }
    }

    private Task[] Open()
    {
        lock (underWay)
        {
            return [.. underWay.Values];
        }
    }

    /// <summary>Lets a database that cannot be written have a second.</summary>
    private async Task Pause()
    {
        try
        {
            await Task.Delay(TimeSpan.FromSeconds(1), clock, cut.Token);
        }
        catch (OperationCanceledException)
        {
            // Whoever waits looks for itself.
        }
    }
}
