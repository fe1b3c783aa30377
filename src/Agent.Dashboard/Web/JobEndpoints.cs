using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>What the page and other clients can ask for about verdicts and jobs. docs/dashboard-api.md.</summary>
internal sealed class JobEndpoints(Writer writer, Histories histories, AgentClock clock)
{
    private const string BadQuery = "The query cannot be read.";
    private const string Csv = "csv";

    private Fleet Fleet => writer.Fleet;

    /// <summary>GET /api/verdicts/?server=&amp;at=</summary>
    public async Task Verdicts(HttpContext context)
    {
        if (await ServerQuery.Of(context, writer) is not { } server)
        {
            return;
        }

        var text = context.Request.Query["at"].ToString();
        var at = text.Length == 0 ? clock.GetUtcNow() : default(DateTimeOffset?);

        if (at is null && IntakeModule.InstantOf(text) is { IsValueSome: true, Value: var instant } && instant >= IntakeModule.firstInstant)
        {
            at = instant;
        }

        if (at is not { } asked)
        {
            await context.Refuse(StatusCodes.Status400BadRequest, BadQuery, "at: expected an instant such as 2026-02-26T02:37:49+00:00");
            return;
        }

        var slug = server.Registration.Slug;
        await histories.AnswerHistory(context, (reader, _) =>
        {
            var found = reader.SaidAt(server.Id, RowKey.Microseconds(asked));
            return JobResponses.Said(slug, asked, found is var (said, _) ? Some(RowKey.Instant(said)) : default, found?.Content ?? "");
        });
    }

    /// <summary>GET /api/jobs/?server=&amp;minutes=&amp;to=&amp;active=</summary>
    public async Task Jobs(HttpContext context)
    {
        var query = context.Request.Query;
        LiveServer? server = null;

        if (query["server"].ToString().Length > 0 && (server = await ServerQuery.Of(context, writer)) is null)
        {
            return;
        }

        var now = clock.GetUtcNow();
        var range = JobResponses.Range(query["minutes"].ToString(), query["to"].ToString(), now);

        if (!range.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(range.ErrorValue));
            return;
        }

        var isActive = query["active"].ToString() == "true";
        await histories.AnswerHistory(context, (reader, limit) =>
        {
            var slugs = Slugs();
            var views = reader.Jobs.In(server?.Id, range.ResultValue, limit)
                .Where(job => slugs.ContainsKey(job.Record.Server) && !(isActive && job.Record.IsOver))
                .Select(job => new JobView(job.Record, slugs[job.Record.Server], job.Totals));
            return JobResponses.Jobs(range.ResultValue, [.. views], now);
        });
    }

    /// <summary>GET /api/jobs/KEY/</summary>
    public async Task Job(HttpContext context)
    {
        var key = context.Request.RouteValues["key"] as string ?? "";

        await histories.AnswerHistory(context, "Unknown job.", (reader, limit) =>
        {
            var slugs = Slugs();

            if (JobResponses.KeyOf(key) is not { IsValueSome: true, Value: var (slug, number) }
                || Fleet.Find(slug) is not { } server
                || reader.Jobs.Life(server.Id, number, limit) is not { } life)
            {
                return null;
            }

            JobView View((JobRecord Record, JobTotals Totals) one) =>
                new(one.Record, slugs.GetValueOrDefault(one.Record.Server, ""), one.Totals);

            var parts = life.Parts.Where(part => slugs.ContainsKey(part.Record.Server)).Select(View);
            var earlier = life.Earlier is { } before && slugs.ContainsKey(before.Record.Server) ? View(before) : null;
            return JobResponses.Life(View(life.Job), [.. parts], Maybe.Of(earlier), [.. life.Minutes]);
        });
    }

    /// <summary>GET /api/waste/?by=&amp;minutes=&amp;to=&amp;format=</summary>
    public async Task Waste(HttpContext context)
    {
        var query = context.Request.Query;
        var by = JobResponses.WasteKeyOf(query["by"].ToString());
        var range = JobResponses.Range(query["minutes"].ToString(), query["to"].ToString(), clock.GetUtcNow());
        var format = query["format"].ToString();

        if (!by.IsOk || !range.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(by.IsOk ? range.ErrorValue : by.ErrorValue));
            return;
        }

        if (format is not ("" or "json" or Csv))
        {
            await context.Refuse(StatusCodes.Status400BadRequest, BadQuery, $"format: expected json or {Csv}");
            return;
        }

        byte[] Report(IHistoryReader reader, WorkLimit limit)
        {
            var slugs = Slugs();
            var labels = Fleet.All.ToDictionary(
                static server => server.Registration.Slug, static server => JobRecordModule.LabelsOf(server.Agent), StringComparer.Ordinal);
            (JobRecord, string, DailyUse)[] uses = [.. reader.Jobs.Daily(range.ResultValue, limit)
                .Where(used => slugs.ContainsKey(used.Record.Server))
                .Select(used => (used.Record, slugs[used.Record.Server], used.Use))];
            string[] LabelsOf(string slug) => labels.GetValueOrDefault(slug, []);
            return format == Csv
                ? JobResponses.WasteCsv(by.ResultValue, LabelsOf, uses)
                : JobResponses.Waste(by.ResultValue, range.ResultValue, LabelsOf, uses, [.. Holders()]);
        }

        await (format == Csv
            ? histories.AnswerFile(context, $"waste-by-{by.ResultValue.Name}.csv", Report)
            : histories.AnswerHistory(context, Report));
    }

    private static Microsoft.FSharp.Core.FSharpValueOption<DateTimeOffset> Some(DateTimeOffset at) =>
        Microsoft.FSharp.Core.FSharpValueOption<DateTimeOffset>.NewValueSome(at);

    private Dictionary<int, string> Slugs() => Fleet.All.ToDictionary(static server => server.Id, static server => server.Registration.Slug);

    /// <summary>The jobs that hold GPUs and do nothing just now, on machines that are heard of.</summary>
    private IEnumerable<(string, ReportedJob)> Holders()
    {
        var now = clock.GetUtcNow();
        return from server in Fleet.All
               let view = server.View
               where Responses.StateName(view, now) == "live" && view.Judgement.IsValueSome
               from job in view.Judgement.Value.Jobs
               where job.Verdict.Label.IsHeldIdle
               select (server.Registration.Slug, job);
    }
}
