using System.Collections.Concurrent;
using System.Threading.Channels;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>
/// What those who listen are told: a sample, or an event that is written already, or, without either, that registrations have changed.
/// </summary>
internal readonly record struct News(LiveServer? Server, HeldSample? Sample, byte[]? Written = null);

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

    /// <summary>What there is to tell.</summary>
    public Channel<News> News { get; }

    /// <summary>Whether something was lost since this was asked last.</summary>
    public bool HasLost() => Interlocked.Exchange(ref lost, 0) == 1;
}

/// <summary>Tells everyone who listens of new samples. Never waits for any of them.</summary>
internal sealed class Hub
{
    private readonly ConcurrentDictionary<Listener, bool> listeners = new();

    /// <summary>How many listen.</summary>
    public int Count => listeners.Count;

    /// <summary>Adds somebody who listens.</summary>
    public Listener Listen(string? server)
    {
        var listener = new Listener(server);
        listeners[listener] = true;
        return listener;
    }

    /// <summary>Takes him away.</summary>
    public void Leave(Listener listener) => listeners.TryRemove(listener, out _);

    /// <summary>Tells of a sample that is on disk.</summary>
    public void Tell(LiveServer server, HeldSample sample)
    {
        if (listeners.IsEmpty)
        {
            return;
        }

        foreach (var (listener, _) in listeners)
        {
            if (listener.Server is null || listener.Server == server.Registration.Slug)
            {
                listener.News.Writer.TryWrite(new News(server, sample));
            }
        }
    }

    /// <summary>Tells that registrations have changed.</summary>
    public void TellRegistrations()
    {
        foreach (var (listener, _) in listeners)
        {
            listener.News.Writer.TryWrite(default);
        }
    }

    /// <summary>Tells everyone something, whichever server they listen to.</summary>
    public void Tell(byte[] written)
    {
        foreach (var (listener, _) in listeners)
        {
            listener.News.Writer.TryWrite(new News(null, null, written));
        }
    }

    /// <summary>Ends all that listen.</summary>
    public void Close()
    {
        foreach (var (listener, _) in listeners)
        {
            listener.News.Writer.TryComplete();
        }
    }
}
