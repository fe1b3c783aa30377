using System.Collections.Concurrent;
using System.Threading.Channels;
using Agent.Dashboard.Store;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>A message to listeners: an event as it is sent, made when the first of them needs it.</summary>
internal sealed class News(Func<byte[]> make)
{
    private byte[]? bytes;

    /// <summary>The bytes. Two listeners that ask at the same time make them twice, which does no harm.</summary>
    public byte[] Bytes => bytes ??= make();
}

/// <summary>Somebody who listens. Whoever is too slow loses what is oldest, and can see that.</summary>
internal sealed class Listener
{
    private const int Capacity = 256;
    private int lost;

    /// <summary>Listens from here on.</summary>
    /// <param name="server">The slug of the only server that matters, or null.</param>
    public Listener(string? server)
    {
        Server = server;
        News = Channel.CreateBounded<News>(
            new BoundedChannelOptions(Capacity) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true },
            _ => Interlocked.Exchange(ref lost, 1));
    }

    /// <summary>The slug of the only server that matters, or null.</summary>
    public string? Server { get; }

    /// <summary>The messages.</summary>
    public Channel<News> News { get; }

    /// <summary>Whether something was lost since this was asked last.</summary>
    public bool HasLost() => Interlocked.Exchange(ref lost, 0) == 1;
}

/// <summary>Tells everyone who listens of new samples. Never waits for any of them.</summary>
internal sealed class Hub
{
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(15);
    private static readonly News Comment = new(static () => [.. ":\n\n"u8]);
    private static readonly News Servers = new(static () => [.. "event: servers\ndata: {}\n\n"u8]);

    private readonly ConcurrentDictionary<Listener, bool> listeners = new();
    private readonly ITimer heartbeat;

    /// <summary>Begins to beat: one timer for all who listen.</summary>
    public Hub(TimeProvider clock) => heartbeat = clock.CreateTimer(_ => Tell(Comment), null, Heartbeat, Heartbeat);

    /// <summary>How many listen.</summary>
    public int Count => listeners.Count;

    /// <summary>Adds a listener.</summary>
    public Listener Listen(string? server)
    {
        var listener = new Listener(server);
        listeners[listener] = true;
        return listener;
    }

    /// <summary>Takes him away.</summary>
    public void Leave(Listener listener) => listeners.TryRemove(listener, out _);

    /// <summary>Tells of a sample that is on disk.</summary>
    public void Tell(LiveServer server, HeldSample sample, Judgement? judgement)
    {
        if (listeners.IsEmpty)
        {
            return;
        }

        var news = new News(() => EventsEndpoint.Event(server, sample, judgement));

        foreach (var (listener, _) in listeners)
        {
            if (listener.Server is null || listener.Server == server.Registration.Slug)
            {
                listener.News.Writer.TryWrite(news);
            }
        }
    }

    /// <summary>Tells that registrations have changed.</summary>
    public void TellRegistrations() => Tell(Servers);

    /// <summary>Tells everyone something, whichever server they listen to.</summary>
    public void Tell(byte[] written) => Tell(new News(() => written));

    /// <summary>Ends all that listen.</summary>
    public void Close()
    {
        heartbeat.Dispose();

        foreach (var (listener, _) in listeners)
        {
            listener.News.Writer.TryComplete();
        }
    }

    private void Tell(News news)
    {
        foreach (var (listener, _) in listeners)
        {
            listener.News.Writer.TryWrite(news);
        }
    }
}
