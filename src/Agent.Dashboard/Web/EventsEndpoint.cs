using System.Text;
using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>GET /api/events/: server-sent events, as the HTML standard has them (9.2).</summary>
internal sealed class EventsEndpoint(Hub hub, Writer writer, AgentClock clock)
{
    /// <summary>So many may listen.</summary>
    private const int MostListeners = 200;

    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(15);
    private static readonly byte[] Comment = ":\n\n"u8.ToArray();
    private static readonly byte[] Gap = "event: gap\ndata: {}\n\n"u8.ToArray();
    private static readonly byte[] Servers = "event: servers\ndata: {}\n\n"u8.ToArray();

    /// <summary>Tells a client until it goes, or the dashboard stops.</summary>
    public async Task Handle(HttpContext context)
    {
        var slug = context.Request.Query["server"].ToString();

        if (slug.Length > 0 && writer.Fleet.Find(slug) is null)
        {
            // It may have been registered a moment ago.
            await writer.Refresh();
        }

        if (slug.Length > 0 && writer.Fleet.Find(slug) is null)
        {
            await context.Refuse(StatusCodes.Status404NotFound, "Unknown server.", slug);
            return;
        }

        if (hub.Count >= MostListeners)
        {
            context.Response.Headers.RetryAfter = "30";
            await context.Refuse(StatusCodes.Status503ServiceUnavailable, "Too many listen already.", $"at most {MostListeners}");
            return;
        }

        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-store";
        // For proxies that would wait for more.
        context.Response.Headers["X-Accel-Buffering"] = "no";

        if (HttpMethods.IsHead(context.Request.Method))
        {
            return;
        }

        var listener = hub.Listen(slug.Length > 0 ? slug : null);

        try
        {
            await Write(context, Responses.StorageEvent(writer.Storage.State));
            await Tell(context, listener);
        }
        catch (OperationCanceledException)
        {
            // The client has gone.
        }
        finally
        {
            hub.Leave(listener);
        }
    }

    private async Task Tell(HttpContext context, Listener listener)
    {
        var news = listener.News.Reader;

        while (true)
        {
            var more = news.WaitToReadAsync(context.RequestAborted).AsTask();

            while (await Task.WhenAny(more, Pause(context.RequestAborted)) != more)
            {
                context.RequestAborted.ThrowIfCancellationRequested();
                await Write(context, Comment);
            }

            if (!await more)
            {
                return;
            }

            if (listener.HasLost())
            {
                await Write(context, Gap);
            }

            while (news.TryRead(out var next))
            {
                await Write(context, Event(next));
            }
        }
    }

    private Task Pause(CancellationToken stop) => Task.Delay(clock.ToReal(Heartbeat), clock, stop);

    private static byte[] Event(News news)
    {
        if (news.Written is { } written)
        {
            return written;
        }

        if (news is not { Server: { } server, Sample: { } sample })
        {
            return Servers;
        }

        var stored = sample.Stored;
        var point = PointModule.Of(
            sample.Layout, stored.Report, stored.Derivation.Rates, DerivationModule.LabelCode(stored.Derivation));
        var data = Responses.SampleEvent(server.Registration.Slug, stored, sample.Layout, point);
        return [.. Encoding.ASCII.GetBytes($"event: sample\nid: {stored.Id}\ndata: "), .. data, (byte)'\n', (byte)'\n'];
    }

    private static async Task Write(HttpContext context, byte[] bytes)
    {
        await context.Response.Body.WriteAsync(bytes, context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }
}
