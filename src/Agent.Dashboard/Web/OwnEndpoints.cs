using Agent.Receiver;
using Agent.Receiver.Cluster;
using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>What the dashboard says of itself.</summary>
internal sealed class OwnEndpoints(
    Writer writer, Readers readers, Hub hub, IngestFigures ingests, Func<StateReport?> state, string version, AgentClock clock)
{
    /// <summary>Whether samples are stored: the path for monitors and balancers, which needs no login.</summary>
    public const string HealthPath = "/healthz";

    /// <summary>The dashboard's own metrics.</summary>
    public const string MetricsPath = "/metrics";

    /// <summary>A disk that has not answered for so long is reported as not answering.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>GET /healthz: whether the database takes and gives, and if not why and since when.</summary>
    public async Task Health(HttpContext context)
    {
        await WithPatience(writer.Check(), context.RequestAborted);
        var storage = writer.Storage.State;

        if (writer.Waiting is var waited && waited >= Patience)
        {
            storage = StorageModule.Waiting(clock.GetUtcNow(), waited, storage);
        }
        else
        {
            await WithPatience(Read(context.RequestAborted), context.RequestAborted);
            storage = writer.Storage.State;
        }

        await context.Json(
            storage.IsGood ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable,
            Responses.Health(version, storage, Relay, Maybe.Of(state())));
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
            writer.Storage.State.Writing.IsNone,
            states,
            hub.Count,
            await readers.Use(static reader => reader.FileBytes(), context.RequestAborted),
            Environment.WorkingSet,
            Relay,
            Maybe.Of(state()));
        context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        await context.Response.WriteAsync(OwnMetrics.Text(figures), context.RequestAborted);
    }

    private FSharpValueOption<RelayFigures> Relay => writer.Relay is { } relay
        ? FSharpValueOption<RelayFigures>.NewValueSome(relay.Figures)
        : FSharpValueOption<RelayFigures>.ValueNone;

    private async Task Read(CancellationToken stop)
    {
        try
        {
            await readers.Use(static reader => reader.IsAlive(), stop);
        }
        catch (SqliteException)
        {
            // The watch over the storage has been told.
        }
    }

    private async Task WithPatience(Task work, CancellationToken stop)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(stop);
        await Task.WhenAny(work, Task.Delay(clock.ToReal(Patience), clock, enough.Token));
        await enough.CancelAsync();
    }
}
