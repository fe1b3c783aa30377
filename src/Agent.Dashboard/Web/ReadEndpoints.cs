using System.Buffers;
using System.Collections.Concurrent;
using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>What the page and other clients can ask for. docs/dashboard-api.md.</summary>
internal sealed class ReadEndpoints(
    Writer writer, Histories histories, string version, Keeping keeping, bool login, Lazy<string[]> endpoints, AgentClock clock)
{
    private const string Deltas = "delta";
    private const int OutputBytes = 1 << 20;
    private const int MostOutputs = 4;

    /// <summary>Of histories so much waits to be sent, of everybody and of one address.</summary>
    private const int Unsent = 32 << 20;
    private const int UnsentOfAddress = 8 << 20;

    /// <summary>Buffers larger than this are not kept for the next answer.</summary>
    private const int LargestKept = 4 << 20;

    /// <summary>
    /// Buffers for answers. One grows to a megabyte, and so much garbage at once makes the collector look through everything.
    /// </summary>
    private readonly ConcurrentBag<ArrayBufferWriter<byte>> outputs = [];

    /// <summary>Bytes of histories that are made and not sent yet: whoever reads slowly has them kept for so long.</summary>
    private readonly AddressShares unsent = new(Unsent, UnsentOfAddress);

    private Fleet Fleet => writer.Fleet;

    /// <summary>GET /api/</summary>
    public Task Root(HttpContext context)
    {
        var identity = context.Identity() ?? Identity.Anybody;
        var role = Credentials.RoleName(identity.Role);
        return context.Json(
            StatusCodes.Status200OK,
            Responses.Root(version, keeping, writer.Storage.State, login, identity.Name, role, endpoints.Value, clock.GetUtcNow()));
    }

    /// <summary>GET /api/servers/</summary>
    public async Task Servers(HttpContext context)
    {
        await writer.Refresh();
        var now = clock.GetUtcNow();
        var views = Fleet.All.Select(server => (server.View, server.SparkUntil(now))).ToArray();
        await context.Json(StatusCodes.Status200OK, Responses.Servers(views, now));
    }

    /// <summary>GET /api/metrics/latest/?server=</summary>
    public async Task Latest(HttpContext context)
    {
        if (await ServerQuery.Of(context, writer) is { } server)
        {
            await context.Json(StatusCodes.Status200OK, Responses.Latest(server.View, clock.GetUtcNow()));
        }
    }

    /// <summary>GET /api/fleet/gpus/?minutes=&amp;to=</summary>
    public async Task FleetGpus(HttpContext context)
    {
        var range = Responses.FleetRange(context.Request.Query["minutes"].ToString(), context.Request.Query["to"].ToString());

        if (!range.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(range.ErrorValue));
            return;
        }

        var asked = range.ResultValue;
        var until = RowKey.Microseconds(asked.Until.IsValueSome ? asked.Until.Value : clock.GetUtcNow());
        var from = Math.Max(0, until - (asked.Minutes * RowKey.MicrosecondsPerMinute));
        var servers = Fleet.All.Select(static server => (server.Id, server.Registration.Slug)).ToArray();
        await histories.AnswerHistory(
            context, (reader, limit) => Responses.FleetGpus(reader.ReadFleet(servers, new FleetUse(from, until), limit)));
    }

    /// <summary>GET /api/metrics/history/?server=&amp;minutes=&amp;to=&amp;form=&amp;details=</summary>
    public async Task Metrics(HttpContext context)
    {
        if (await ServerQuery.Of(context, writer) is not { } server)
        {
            return;
        }

        var range = History.Range(context.Request.Query["minutes"].ToString(), context.Request.Query["to"].ToString());

        if (!range.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(range.ErrorValue));
            return;
        }

        var form = context.Request.Query["form"].ToString();

        if (form is not ("" or Deltas))
        {
            await context.Refuse(StatusCodes.Status400BadRequest, "The query cannot be read.", $"form: expected {Deltas}, or none");
            return;
        }

        var part = context.Request.Query["details"].ToString();
        var kind = Details.PositionOf(part);

        if (part.Length > 0 && kind < 0)
        {
            var kinds = string.Join(", ", Details.all.Select(static one => one.Name));
            await context.Refuse(StatusCodes.Status400BadRequest, "The query cannot be read.", $"details: expected one of {kinds}, or none");
            return;
        }

        var now = RowKey.Microseconds(clock.GetUtcNow());
        var asked = range.ResultValue;
        var until = asked.Until.IsValueSome ? RowKey.Microseconds(asked.Until.Value) : now;
        var from = Math.Max(0, until - (asked.Minutes * RowKey.MicrosecondsPerMinute));
        var encoding = Encodings.Chosen(context.Request);

        try
        {
            var slug = server.Registration.Slug;
            var making = histories.AskHistory(
                (reader, limit) => Written(
                    output =>
                    {
                        if (kind >= 0)
                        {
                            Responses.DetailsInto(
                                output, slug, form == Deltas, reader.ReadDetails(server.Id, kind, from, until, now, limit));
                            return;
                        }

                        var history = reader.Read(server.Id, from, until, now, limit);

                        if (form == Deltas)
                        {
                            Responses.HistoryDeltasInto(output, slug, history);
                        }
                        else
                        {
                            Responses.HistoryInto(output, slug, history);
                        }
                    },
                    encoding,
                    limit),
                context.RequestAborted);

            if (making is null)
            {
                await TooMany(context);
                return;
            }

            await Send(context, await making, encoding);
        }
        catch (WorkLimitException late)
        {
            await context.Refuse(
                StatusCodes.Status503ServiceUnavailable,
                "The history takes too much work.",
                $"more than {late.Limit.TotalSeconds} s; ask for fewer minutes");
        }
    }

    private async Task Send(HttpContext context, ArrayBufferWriter<byte> body, ContentCoding encoding)
    {
        var owner = AddressShares.Owner(context.Connection.RemoteIpAddress);
        // One alone always has room, however long it is.
        var taken = Math.Min(body.WrittenCount, UnsentOfAddress);

        if (!unsent.TryTake(owner, taken))
        {
            GiveBack(body);
            await TooMany(context);
            return;
        }

        try
        {
            encoding.Say(context.Response);
            await context.Json(StatusCodes.Status200OK, body.WrittenMemory);
        }
        finally
        {
            unsent.Return(owner, taken);
            GiveBack(body);
        }
    }

    private static Task TooMany(HttpContext context)
    {
        context.Response.Headers.RetryAfter = "2";
        return context.Refuse(StatusCodes.Status503ServiceUnavailable, "Too many histories are asked for.", "try again in a few seconds");
    }

    /// <summary>A history as it is sent; on a thread of the histories, so that compressing keeps no other request waiting.</summary>
    private ArrayBufferWriter<byte> Written(Action<ArrayBufferWriter<byte>> write, ContentCoding encoding, WorkLimit limit)
    {
        var plain = Output();
        write(plain);

        if (encoding == ContentCoding.Identity)
        {
            return plain;
        }

        limit.Check();
        var compressed = Output();
        encoding.Compress(plain.WrittenMemory, compressed);
        GiveBack(plain);
        return compressed;
    }

    private ArrayBufferWriter<byte> Output() => outputs.TryTake(out var used) ? used : new ArrayBufferWriter<byte>(OutputBytes);

    private void GiveBack(ArrayBufferWriter<byte> output)
    {
        if (outputs.Count < MostOutputs && output.Capacity <= LargestKept)
        {
            output.ResetWrittenCount();
            outputs.Add(output);
        }
    }
}
