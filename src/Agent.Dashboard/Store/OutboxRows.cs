using Agent.Receiver.Alerts;

namespace Agent.Dashboard.Store;

/// <summary>A message on its way: claimed for one attempt.</summary>
/// <param name="Id">Of its row.</param>
/// <param name="MessageId">The same at every attempt; a receiver can drop a repetition by it.</param>
/// <param name="Channel">The name of its channel.</param>
/// <param name="Added">When it was added, in microseconds from 2000-01-01.</param>
/// <param name="Notices">A text of <see cref="NoticeJson"/>.</param>
/// <param name="Attempt">From 1.</param>
internal sealed record OutboxMessage(long Id, string MessageId, string Channel, long Added, string Notices, int Attempt);

/// <summary>What became of a channel's messages.</summary>
/// <param name="Waiting">How many wait now.</param>
/// <param name="Delivered">How many were accepted.</param>
/// <param name="Refused">How many the other side will not take, and were set aside.</param>
/// <param name="Dropped">How many were dropped because too many waited, or for too long.</param>
/// <param name="LastAt">When the last attempt ended, in microseconds from 2000-01-01; 0 for never.</param>
/// <param name="WasGood">Whether that one was accepted.</param>
/// <param name="LastResult">What the other side answered, or what went wrong.</param>
internal sealed record ChannelCounts(
    int Waiting, long Delivered, long Refused, long Dropped, long LastAt, bool WasGood, string LastResult)
{
    /// <summary>Of a channel that nothing was ever sent to.</summary>
    public static readonly ChannelCounts None = new(0, 0, 0, 0, 0, false, "");
}

/// <summary>
/// The messages that wait to be delivered. Over the writer's connection; everything but <see cref="NextDue"/> within one of its
/// transactions. After one that was given up, <see cref="NextDue"/> may be too early, which costs a look.
/// </summary>
internal sealed class OutboxRows : IDisposable
{
    /// <summary>So many messages wait for a channel; beyond that the oldest are dropped.</summary>
    public const int MostWaiting = 1000;

    /// <summary>A message waits so long before its first attempt, in microseconds: what comes until then joins it, so that a dead switch is one message.</summary>
    public const long Gathering = 10_000_000;

    /// <summary>A message that could not be delivered for so long is dropped, in microseconds: a day.</summary>
    public const long Longest = 24 * 3600 * 1_000_000L;

    /// <summary>After so many attempts a message no longer holds back those behind it.</summary>
    private const int StubbornAttempts = 12;

    /// <summary>No attempt is planned further ahead; one that is, was planned by a clock that has been set back. In microseconds.</summary>
    private const long FarthestAttempt = 2 * 3600 * 1_000_000L;

    private const int MostNoticesAtOnce = 250;
    private const int LongestNotices = 256 * 1024;
    private const int LongestResult = 500;

    private readonly IStatement newest;
    private readonly IStatement join;
    private readonly IStatement add;
    private readonly IStatement overflow;
    private readonly IStatement head;
    private readonly IStatement claim;
    private readonly IStatement channelOf;
    private readonly IStatement remove;
    private readonly IStatement withdraw;
    private readonly IStatement postpone;
    private readonly IStatement count;
    private readonly IStatement tell;
    private readonly IStatement counts;
    private readonly IStatement waiting;
    private readonly IStatement old;
    private long nextDue;

    /// <summary>Prepares its statements.</summary>
    public OutboxRows(StateConnection connection)
    {
        newest = connection.Prepare(
            "SELECT id, notices FROM outbox WHERE channel = ?1 AND attempts = 0 AND next_attempt > ?2 ORDER BY id DESC LIMIT 1");
        join = connection.Prepare("UPDATE outbox SET notices = ?2 WHERE id = ?1");
        add = connection.Prepare("INSERT INTO outbox (message_id, channel, added, notices, next_attempt) VALUES (?1, ?2, ?3, ?4, ?5)");
        overflow = connection.Prepare($"SELECT id FROM outbox WHERE channel = ?1 ORDER BY id DESC LIMIT {MostWaiting} OFFSET {MostWaiting}");
        head = connection.Prepare(
            $"""
            SELECT id, message_id, added, notices, attempts, next_attempt FROM outbox WHERE id =
              (SELECT id FROM outbox WHERE channel = ?1 ORDER BY attempts >= {StubbornAttempts}, id LIMIT 1)
            """);
        claim = connection.Prepare("UPDATE outbox SET attempts = attempts + 1, next_attempt = ?2 WHERE id = ?1");
        channelOf = connection.Prepare("SELECT channel FROM outbox WHERE id = ?1");
        remove = connection.Prepare("DELETE FROM outbox WHERE id = ?1");
        withdraw = connection.Prepare("DELETE FROM outbox WHERE id = ?1 AND attempts = ?2");
        postpone = connection.Prepare("UPDATE outbox SET next_attempt = ?2, last_error = ?3 WHERE id = ?1");
        count = connection.Prepare(
            """
            INSERT INTO outbox_channel (channel, delivered, refused, dropped) VALUES (?1, ?2, ?3, ?4)
              ON CONFLICT (channel) DO UPDATE SET
                delivered = outbox_channel.delivered + ?2, refused = outbox_channel.refused + ?3, dropped = outbox_channel.dropped + ?4
            """);
        tell = connection.Prepare(
            """
            INSERT INTO outbox_channel (channel, last_at, last_good, last_result) VALUES (?1, ?2, ?3, ?4)
              ON CONFLICT (channel) DO UPDATE SET last_at = ?2, last_good = ?3, last_result = ?4
            """);
        counts = connection.Prepare("SELECT delivered, refused, dropped, last_at, last_good, last_result FROM outbox_channel WHERE channel = ?1");
        waiting = connection.Prepare("SELECT count(*) FROM outbox WHERE channel = ?1");
        old = connection.Prepare($"SELECT id FROM outbox WHERE added < ?1 ORDER BY added LIMIT {MostWaiting}");
    }

    /// <summary>When a message is due at the earliest, in microseconds from 2000-01-01. For any thread.</summary>
    public long NextDue => Volatile.Read(ref nextDue);

    /// <summary>Adds notices for a channel: to the message that is being gathered for it, or as a new one.</summary>
    /// <param name="channel">The channel's name.</param>
    /// <param name="notices">In the order in which they are told.</param>
    /// <param name="at">Now, in microseconds from 2000-01-01.</param>
    public void Add(string channel, Notice[] notices, long at)
    {
        foreach (var some in notices.Chunk(MostNoticesAtOnce))
        {
            Add(channel, NoticeJson.Encode(some), at);
        }
    }

    /// <summary>The first message of each of these channels, where it is due, for an attempt that ends before <paramref name="until"/>.</summary>
    /// <param name="channels">The names of those that have no attempt under way.</param>
    /// <param name="now">In microseconds from 2000-01-01.</param>
    /// <param name="until">When another attempt may be made if nothing is heard of this one.</param>
    public List<OutboxMessage> Claim(IEnumerable<string> channels, long now, long until)
    {
        var found = new List<OutboxMessage>();
        var next = long.MaxValue;

        foreach (var channel in channels)
        {
            if (!head.Bind(1, channel).Step())
            {
                continue;
            }

            var due = head.Integer(5);

            if (due <= now || due > now + FarthestAttempt)
            {
                found.Add(new OutboxMessage(
                    head.Integer(0), head.Text(1), channel, head.Integer(2), head.Text(3), (int)head.Integer(4) + 1));
            }
            else
            {
                next = Math.Min(next, due);
            }

            head.Reset();
        }

        found.ForEach(message => claim.Bind(1, message.Id).Bind(2, until).Run());
        Volatile.Write(ref nextDue, next);
        return found;
    }

    /// <summary>Whether a look is worth it, by <see cref="NextDue"/>; both in microseconds from 2000-01-01.</summary>
    public static bool MayBeDue(long next, long now) => next <= now || (next > now + FarthestAttempt && next != long.MaxValue);

    /// <summary>Something may be due now: a transaction was given up. For any thread.</summary>
    public void Wake() => Volatile.Write(ref nextDue, 0);

    /// <summary>The other side has taken a message: it is gone from here.</summary>
    public void Delivered(OutboxMessage message, long at, string answer)
    {
        // One that was dropped while it was on its way is not dropped after all.
        Count(message.Channel, delivered: 1, dropped: Remove(message.Id) ? 0 : -1);
        Tell(message.Channel, at, isGood: true, answer);
        Hurry(at);
    }

    /// <summary>Forgets a message that was delivered, unless another attempt has begun since: what becomes of it is that one's matter.</summary>
    public void Withdraw(OutboxMessage message) => withdraw.Bind(1, message.Id).Bind(2, message.Attempt).Run();

    /// <summary>The other side will never take a message: it is gone from here, and counted.</summary>
    public void Refused(OutboxMessage message, long at, string answer)
    {
        Count(message.Channel, refused: 1, dropped: Remove(message.Id) ? 0 : -1);
        Tell(message.Channel, at, isGood: false, answer);
        Hurry(at);
    }

    /// <summary>An attempt failed; the next one is made at <paramref name="next"/>.</summary>
    public void Failed(OutboxMessage message, long at, long next, string reason)
    {
        postpone.Bind(1, message.Id).Bind(2, next).Bind(3, Cut(reason)).Run();
        Tell(message.Channel, at, isGood: false, reason);
        Hurry(next);
    }

    /// <summary>What came of an attempt that was no message's, such as a test.</summary>
    public void Tell(string channel, long at, bool isGood, string result) =>
        tell.Bind(1, channel).Bind(2, at).Bind(3, isGood ? 1 : 0).Bind(4, Cut(result)).Run();

    /// <summary>What became of a channel's messages.</summary>
    public ChannelCounts CountsOf(string channel)
    {
        waiting.Bind(1, channel).Step();
        var held = (int)waiting.Integer(0);
        waiting.Reset();

        if (!counts.Bind(1, channel).Step())
        {
            return ChannelCounts.None with { Waiting = held };
        }

        var found = new ChannelCounts(
            held, counts.Integer(0), counts.Integer(1), counts.Integer(2), counts.Integer(3), counts.Integer(4) != 0, counts.Text(5));
        counts.Reset();
        return found;
    }

    /// <summary>Drops what was added before an instant, in microseconds, and could not be delivered since.</summary>
    public void Prune(long before) => Drop(old.Bind(1, before));

    /// <inheritdoc/>
    public void Dispose()
    {
        newest.Dispose();
        join.Dispose();
        add.Dispose();
        overflow.Dispose();
        head.Dispose();
        claim.Dispose();
        channelOf.Dispose();
        remove.Dispose();
        withdraw.Dispose();
        postpone.Dispose();
        count.Dispose();
        tell.Dispose();
        counts.Dispose();
        waiting.Dispose();
        old.Dispose();
    }

    private void Add(string channel, string notices, long at)
    {
        newest.Bind(1, channel).Bind(2, at);

        if (newest.Step())
        {
            var (id, held) = (newest.Integer(0), newest.Text(1));
            newest.Reset();

            if (held.Length + notices.Length <= LongestNotices)
            {
                join.Bind(1, id).Bind(2, NoticeJson.Join(held, notices)).Run();
                return;
            }
        }

        add.Bind(1, Guid.NewGuid().ToString("N")).Bind(2, channel).Bind(3, at).Bind(4, notices).Bind(5, at + Gathering).Run();
        Drop(overflow.Bind(1, channel));
        Hurry(at + Gathering);
    }

    /// <summary>Removes a message; false where it is gone already.</summary>
    private bool Remove(long id)
    {
        var isThere = channelOf.Bind(1, id).Step();
        channelOf.Reset();
        remove.Bind(1, id).Run();
        return isThere;
    }

    private void Drop(IStatement ids)
    {
        var dropped = new List<long>();

        while (ids.Step())
        {
            dropped.Add(ids.Integer(0));
        }

        foreach (var id in dropped)
        {
            channelOf.Bind(1, id).Step();
            var channel = channelOf.Text(0);
            channelOf.Reset();
            remove.Bind(1, id).Run();
            Count(channel, dropped: 1);
        }
    }

    private void Count(string channel, int delivered = 0, int refused = 0, int dropped = 0) =>
        count.Bind(1, channel).Bind(2, delivered).Bind(3, refused).Bind(4, dropped).Run();

    private void Hurry(long at) => Volatile.Write(ref nextDue, Math.Min(at, NextDue));

    private static string Cut(string text) => text.Length > LongestResult ? text[..LongestResult] + "…" : text;
}
