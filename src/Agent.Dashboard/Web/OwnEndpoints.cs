using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Web;

/// <summary>What the dashboard says of itself.</summary>
internal sealed class OwnEndpoints(
    Writer writer, Readers readers, Hub hub, IngestFigures ingests, string version, AgentClock clock)
{
    /// <summary>GET /healthz: whether the database takes and gives.</summary>
    public async Task Health(HttpContext context)
    {
        // The disk is asked, by a transaction that writes nothing.
        var writes = await writer.Refresh() && writer.IsHealthy;
        var reads = writes && await Reads(context.RequestAborted);
        await context.Json(
            reads ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable,
            Responses.Health(version, writes, reads));
    }

    /// <summary>GET /metrics</summary>
    public async Task Metrics(HttpContext context)
    {
        var now = clock.GetUtcNow();
        var states = writer.Fleet.All
            .GroupBy(server => Responses.StateName(server.View, now))
            .Select(static group => (group.Key, (long)group.Count()))
            .ToArray();
        var figures = new OwnFigures(
            version,
            [.. ingests.All()],
            writer.Figures.Samples,
            WriterFigures.Bounds,
            writer.Figures.Commits(),
            writer.Figures.Seconds,
            writer.Figures.Failed,
            states,
            hub.Count,
            await readers.Use(static reader => reader.FileBytes(), context.RequestAborted),
            Environment.WorkingSet);
        context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        await context.Response.WriteAsync(OwnMetrics.Text(figures), context.RequestAborted);
    }

    private async Task<bool> Reads(CancellationToken stop)
    {
        try
        {
            return await readers.Use(static reader => reader.IsAlive(), stop);
        }
        catch (SqliteException)
        {
            return false;
        }
    }
}
