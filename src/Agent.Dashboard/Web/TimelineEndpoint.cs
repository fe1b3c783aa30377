using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>What happened, and what people and their scripts write down. docs/dashboard-api.md.</summary>
internal sealed class TimelineEndpoint(Writer writer, IStateStore store, Histories histories, IngestEndpoint ingest, AgentClock clock)
{
    /// <summary>Where a machine's own scripts write something down, with its ingest token.</summary>
    public const string MachineRoute = "/api/ingest/servers/{slug}/annotations";

    /// <summary>Of so many machines verdicts are looked through where all are asked for.</summary>
    private const int MostServers = 64;

    private readonly BodyShares bodies = new();

    /// <summary>GET /api/timeline/?server=&amp;minutes=&amp;to=&amp;kinds=</summary>
    public async Task Timeline(HttpContext context)
    {
        var query = context.Request.Query;
        LiveServer? server = null;

        if (query["server"].ToString().Length > 0 && (server = await ServerQuery.Of(context, writer)) is null)
        {
            return;
        }

        var now = clock.GetUtcNow();
        var range = JobResponses.Range(query["minutes"].ToString(), query["to"].ToString(), now);
        var kinds = TimelineResponses.Kinds(query["kinds"].ToString());

        if (!range.IsOk || !kinds.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(range.IsOk ? kinds.ErrorValue : range.ErrorValue));
            return;
        }

        var asked = kinds.ResultValue;
        var (from, until) = (range.ResultValue.From, range.ResultValue.Until);
        await histories.AnswerBoth(
            context,
            (reader, history, limit) => TimelineResponses.Timeline(
                from, until, [.. All(reader, history, limit, server, range.ResultValue).Where(one => asked.Contains(one.Happening.Kind))]));
    }

    /// <summary>POST /api/annotations/: for admins, of any machine or of all.</summary>
    public async Task Annotate(HttpContext context)
    {
        if (!HttpMethods.IsPost(context.Request.Method))
        {
            await context.RefuseMethod("POST");
            return;
        }

        if (await Note(context) is not { } note)
        {
            return;
        }

        LiveServer? server = null;

        if (note.Slug.Length > 0 && (server = writer.Fleet.Find(note.Slug)) is null)
        {
            await context.Refuse(StatusCodes.Status404NotFound, "Unknown server.", note.Slug);
            return;
        }

        await Keep(context, note, server, context.Identity()?.Name ?? "");
    }

    /// <summary>POST /api/ingest/servers/{slug}/annotations/: with the machine's own token.</summary>
    public async Task AnnotateMachine(HttpContext context)
    {
        if (await ingest.Admitted(context) is not { } server)
        {
            return;
        }

        if (await Note(context) is { } note)
        {
            await Keep(context, note, server, "");
        }
    }

    private async Task<Note?> Note(HttpContext context)
    {
        using var body = await RequestBody.ReadSmall(context, bodies, NoteModule.LongestBody);

        if (body.Status != StatusCodes.Status200OK)
        {
            await context.Refuse(body.Status, body.Error, body.Detail);
            return null;
        }

        var read = NoteModule.Read(body.Bytes, clock.GetUtcNow());

        if (read.IsOk)
        {
            return read.ResultValue;
        }

        await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(read.ErrorValue));
        return null;
    }

    private async Task Keep(HttpContext context, Note note, LiveServer? server, string author)
    {
        var at = note.At.IsValueSome ? note.At.Value : clock.GetUtcNow();
        var happening = new Happening(RowKey.Microseconds(at), EventKind.Annotation, note.Text);

        if (!await store.Note(server?.Id ?? EventRows.Everywhere, happening, author))
        {
            await context.Refuse(
                StatusCodes.Status503ServiceUnavailable, "The annotation cannot be stored.", store.Reason);
            return;
        }

        await context.Json(
            StatusCodes.Status201Created,
            TimelineResponses.Noted(new TimelineEvent(happening, server?.Registration.Slug ?? "", author, "")));
    }

    /// <summary>Events that were observed or written down, jobs that began or ended, and changes of verdict.</summary>
    private IEnumerable<TimelineEvent> All(Reader reader, IHistoryReader history, WorkLimit limit, LiveServer? server, JobRange range)
    {
        var slugs = writer.Fleet.All.ToDictionary(static one => one.Id, static one => one.Registration.Slug);

        foreach (var (id, happening, author) in reader.Events.In(server?.Id, range.From, range.Until, TimelineResponses.MostEvents))
        {
            // Of what the samples of a cluster show, the database has what was seen while it looked on, and the cluster has all.
            var isRead = histories.Elsewhere is null || happening.Kind.IsAnnotation || happening.Kind.IsAlert;

            if (isRead && (id == EventRows.Everywhere || slugs.ContainsKey(id)))
            {
                yield return new TimelineEvent(happening, slugs.GetValueOrDefault(id, ""), author, "");
            }
        }

        foreach (var (job, _) in history.Jobs.In(server?.Id, range, limit))
        {
            if (slugs.TryGetValue(job.Server, out var slug))
            {
                foreach (var happening in JobRecordModule.Happenings(job))
                {
                    if (happening.At >= range.From && happening.At < range.Until)
                    {
                        yield return new TimelineEvent(happening, slug, "", $"{slug}.{job.Number}");
                    }
                }
            }
        }

        int[] servers = server is null ? [.. slugs.Keys.Order().Take(MostServers)] : [server.Id];

        foreach (var (id, happening) in history.Observed(servers, range, limit))
        {
            yield return new TimelineEvent(happening, slugs[id], "", "");
        }
    }
}
