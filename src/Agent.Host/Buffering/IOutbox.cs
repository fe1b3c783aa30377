using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Buffering;

/// <summary>One sample as it is kept, encoded once, without the token. The outbox, the spool and the request share its bytes.</summary>
/// <param name="body">
/// One line: UTF-8 JSON for the webapp, a record of <see cref="Outbound.RemoteWrite"/> or <see cref="Sender.Otlp"/> for receivers of metrics.
/// </param>
internal sealed class EncodedSample(ReadOnlyMemory<byte> body)
{
    /// <summary>Stands for a sample that is sent nowhere.</summary>
    public static readonly EncodedSample None = new(default);

    private readonly BodyPool? pool;
    private JsonText? text;

    /// <summary>One whose memory came from the pool.</summary>
    public EncodedSample(JsonText text, BodyPool pool)
        : this(text.Written)
    {
        this.text = text;
        this.pool = pool;
    }

    /// <summary>The bytes; none once they were given back.</summary>
    public ReadOnlyMemory<byte> Body { get; private set; } = body;

    /// <summary>Gives the memory back to where it came from. For the last who has the sample, once it was delivered.</summary>
    public void Release()
    {
        if (Interlocked.Exchange(ref text, null) is { } done)
        {
            Body = default;
            pool!.Return(done);
        }
    }
}

/// <summary>
/// Memory that samples are encoded into, used again once they are delivered. A sample that is lost or kept on disk only is
/// left to the garbage collector: nobody has to know then who else still looks at it. Safe for all threads.
/// </summary>
internal sealed class BodyPool
{
    /// <summary>One that is encoded and one that is under way.</summary>
    private const int Most = 2;

    /// <summary>The first sample of a machine without GPUs fits.</summary>
    private const int FirstCapacity = 4096;

    /// <summary>So much longer than the one before is a sample hardly ever.</summary>
    private const int Spare = 128;

    private readonly Lock gate = new();
    private readonly Stack<JsonText> free = new(Most);
    private int capacity = FirstCapacity;

    /// <summary>Memory to write to, empty.</summary>
    public JsonText Rent()
    {
        lock (gate)
        {
            // While an outage lasts each sample keeps its own, so it is no larger than it has to be.
            return free.TryPop(out var text) ? text : new JsonText(capacity);
        }
    }

    /// <summary>A sample of what was rented.</summary>
    public EncodedSample Keep(JsonText text)
    {
        lock (gate)
        {
            capacity = text.Written.Length + Spare;
        }

        return new EncodedSample(text, this);
    }

    /// <summary>Takes back what a sample no longer needs.</summary>
    public void Return(JsonText text)
    {
        text.Clear();

        lock (gate)
        {
            if (free.Count < Most)
            {
                free.Push(text);
            }
        }
    }
}

/// <summary>Samples that were dropped without being delivered.</summary>
/// <param name="Overflowed">Because there was no room for newer ones.</param>
/// <param name="Refused">Because they were refused for what they are.</param>
/// <param name="Damaged">Because their bytes did not survive on the disk.</param>
internal readonly record struct DropCounts(long Overflowed, long Refused, long Damaged)
{
    /// <summary>All of them.</summary>
    public long Total => Overflowed + Refused + Damaged;
}

/// <summary>
/// The samples that are not delivered yet, oldest first. Every sample that was added is delivered, or is still here, or is
/// counted in <see cref="Dropped"/>. One thread adds; one other does everything else.
/// </summary>
internal interface IOutbox : IDisposable
{
    /// <summary>Samples that are held.</summary>
    long Count { get; }

    /// <summary>Those among them that outlive the agent.</summary>
    long Kept { get; }

    /// <summary>Samples that went, by reason.</summary>
    DropCounts Dropped { get; }

    /// <summary>How much is held at most, and where: "900 samples in memory".</summary>
    string Limit { get; }

    /// <summary>The oldest sample, which stays until it is removed; null when there is none.</summary>
    EncodedSample? Oldest { get; }

    /// <summary>
    /// The samples right behind <see cref="Oldest"/>, as many as are at hand up to so many, and up to so many bytes. They can be
    /// removed or set aside after it, in their order.
    /// </summary>
    EncodedSample[] Behind(int most, int bytes);

    /// <summary>
    /// The newest sample, to be sent out of turn; null when there is none that was not set aside, or it is not at hand. It keeps its place.
    /// </summary>
    EncodedSample? Newest { get; }

    /// <summary>Adds the newest sample.</summary>
    void Add(EncodedSample sample);

    /// <summary>Removes a delivered sample. With it those put aside before are known to be refused for what they are.</summary>
    void Remove(EncodedSample delivered);

    /// <summary>Takes a refused sample out of the way of the next one.</summary>
    void SetAside(EncodedSample refused, string reason);

    /// <summary>Those set aside are refused for what they are.</summary>
    void Settle();

    /// <summary>Puts the samples that were set aside back to the head, in their order.</summary>
    void TakeBack();

    /// <summary>
    /// To be called now and then between two attempts: makes what is held safe against a loss of power where there is a
    /// disk to do so, at most once a second.
    /// </summary>
    void Flush();
}
