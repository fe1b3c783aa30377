using System.Text;
using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>GET /api/events/: server-sent events, as the HTML standard has them (9.2).</summary>
/// <param name="hub">The source of events.</param>
/// <param name="writer">Knows the servers.</param>
/// <param name="ofAddress">The most streams of one address.</param>
internal sealed class EventsEndpoint(Hub hub, Writer writer, int ofAddress)
{
    /// <summary>The most streams of all addresses together.</summary>
    private const int MostListeners = 200;

    private static readonly byte[] Gap = "event: gap\ndata: {}\n\n"u8.ToArray();

    private readonly AddressShares shares = new(MostListeners, ofAddress);

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

        var owner = AddressShares.Owner(context.Connection.RemoteIpAddress);

        if (!shares.TryTake(owner))
        {
            context.Response.Headers.RetryAfter = "30";
            await context.Refuse(
                StatusCodes.Status503ServiceUnavailable,
                "Too many event streams.",
                $"at most {MostListeners}, and {ofAddress} from one address (--address-streams)");
            return;
        }

        try
        {
            await Listen(context, slug);
        }
        finally
        {
            shares.Return(owner);
        }
    }

    private async Task Listen(HttpContext context, string slug)
    {
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
            // The client has gone, or its session has ended.
        }
        finally
        {
            hub.Leave(listener);
        }
    }

    private async Task Tell(HttpContext context, Listener listener)
    {
        var news = listener.News.Reader;

        // The hub's heartbeat wakes it at the latest; a request ends with its session (Guard).
        while (await news.WaitToReadAsync(context.RequestAborted))
        {
            if (listener.HasLost())
            {
                await Write(context, Gap);
            }

            while (news.TryRead(out var next))
            {
                await Write(context, next.Bytes);
            }
        }
    }

    /// <summary>The event about a sample.</summary>
    public static byte[] Event(LiveServer server, HeldSample sample, Judgement? judgement)
    {
        var stored = sample.Stored;
        var point = PointModule.Of(
            sample.Layout, stored.Report, stored.Derivation.Rates, DerivationModule.LabelCode(stored.Derivation));
        var data = Responses.SampleEvent(server.Registration.Slug, stored, sample.Layout, point, Maybe.Of(judgement));
        return [.. Encoding.ASCII.GetBytes($"event: sample\nid: {stored.Id}\ndata: "), .. data, (byte)'\n', (byte)'\n'];
    }

    private static async Task Write(HttpContext context, byte[] bytes)
    {
        await context.Response.Body.WriteAsync(bytes, context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }
}
