using System.Globalization;
using Agent.Receiver;
using Agent.Receiver.Alerts;
using Agent.Dashboard.Alerting;
using Agent.Dashboard.Store;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>What the page and other clients can ask of alerts, and what admins can do about them. docs/dashboard-api.md.</summary>
internal sealed class AlertEndpoints(AlertBook book, Channels? channels, Writer writer, IStateStore store, Histories histories, AuditLog audit, AgentClock clock)
{
    private const string ReadOnly = "GET, HEAD";
    private const string NotStored = "The change cannot be stored.";

    private readonly BodyShares bodies = new();

    private long Now => RowKey.Microseconds(clock.GetUtcNow());

    /// <summary>Puts the endpoints where they belong.</summary>
    public void MapTo(WebApplication app)
    {
        Map(app, "/api/alerts", ReadOnly, List);
        Map(app, "/api/alerts/rules", "GET, HEAD, PUT", Rules);
        Map(app, "/api/alerts/silences", "GET, HEAD, POST", Silences);
        Map(app, "/api/alerts/silences/{id}", "DELETE", RemoveSilence);
        Map(app, "/api/alerts/channels", ReadOnly, ListChannels);
        Map(app, "/api/alerts/channels/{name}/test", "POST", Test);
        Map(app, "/api/alerts/{id}/ack", "POST", Acknowledge);
        Map(app, "/api/alerts/{id}/mute", "POST", Mute);
    }

    private static void Map(WebApplication app, string path, string methods, RequestDelegate handle)
    {
        var allowed = methods.Split(", ");
        var mapped = app.Map(path, context =>
            allowed.Contains(context.Request.Method, StringComparer.OrdinalIgnoreCase) ? handle(context) : context.RefuseMethod(methods));

        if (methods == ReadOnly)
        {
            mapped.WithMetadata(ReadOnlyEndpoint.Mark);
        }
    }

    /// <summary>GET /api/alerts/?state=&amp;server=&amp;limit=</summary>
    private async Task List(HttpContext context)
    {
        var query = context.Request.Query;
        var all = AlertResponses.WantsAll(query["state"].ToString());
        var limit = AlertResponses.Limit(query["limit"].ToString());
        LiveServer? server = null;

        if (!all.IsOk || !limit.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(all.IsOk ? limit.ErrorValue : all.ErrorValue));
            return;
        }

        if (query["server"].ToString().Length > 0 && (server = await ServerQuery.Of(context, writer)) is null)
        {
            return;
        }

        var slug = server?.Registration.Slug;
        var (now, held, most) = (Now, book.Now, limit.ResultValue);

        if (most == 0)
        {
            await context.Json(StatusCodes.Status200OK, AlertResponses.Alerts(now, held.Rules, held.Critical, held.Warning, 0, []));
            return;
        }

        byte[] Make(AlertRows rows, AlertBook.Held held)
        {
            Alert[] open = [.. rows.Open().Where(alert => slug is null || alert.Slug == slug)];
            // One more than is told, so that it shows that there are more.
            Alert[] over = all.ResultValue ? rows.Ended(slug, most + 1) : [];
            return AlertResponses.Alerts(now, held.Rules, held.Critical, held.Warning, most, [.. open, .. over]);
        }

        if (!store.IsShared)
        {
            await histories.Answer(context, (reader, _) => Make(reader.Alerts, held));
            return;
        }

        byte[] made = [];
        await (await book.Read(rows => made = Make(rows, book.Now))
            ? context.Json(StatusCodes.Status200OK, made)
            : context.Refuse(StatusCodes.Status503ServiceUnavailable, "The alerts cannot be read.", store.Reason));
    }

    /// <summary>POST /api/alerts/ID/ack/</summary>
    private async Task Acknowledge(HttpContext context)
    {
        var done = await book.Acknowledge(Number(context), context.Identity()?.Name ?? "");
        await Answer(context, done, "alert acknowledged");
    }

    /// <summary>POST /api/alerts/ID/mute/: {"until": …}, {"minutes": …}, or {"until": null} for no longer.</summary>
    private async Task Mute(HttpContext context)
    {
        if (await Read(context, body => AlertResponses.MuteOf(Now, body)) is not { } asked)
        {
            return;
        }

        var until = asked is MuteRequest.Until { at: var at } ? at : -1;
        await Answer(context, await book.Mute(Number(context), until), until < 0 ? "alert unmuted" : "alert muted");
    }

    private async Task Answer(HttpContext context, (bool IsStored, Alert? Alert) done, string what)
    {
        if (!done.IsStored)
        {
            await context.Refuse(StatusCodes.Status503ServiceUnavailable, NotStored, store.Reason);
        }
        else if (done.Alert is { } alert)
        {
            Note(context, what, $"{alert.Number}: {alert.What}");
            await context.Json(StatusCodes.Status200OK, AlertResponses.Changed(Now, book.Now.Rules, alert));
        }
        else
        {
            await context.Refuse(StatusCodes.Status404NotFound, "No such alert is open.", context.Request.RouteValues["id"] as string ?? "");
        }
    }

    /// <summary>GET and PUT /api/alerts/rules/</summary>
    private async Task Rules(HttpContext context)
    {
        if (HttpMethods.IsPut(context.Request.Method))
        {
            if (await Read(context, static body => Checked(RuleSettingsModule.OfBody(body))) is not { } page)
            {
                return;
            }

            if (AlertResponses.FixedRules(book.File, page) is { Length: > 0 } names)
            {
                await context.Refuse(
                    StatusCodes.Status409Conflict, "The file of alerts sets these rules.", $"{names}: change them in the file, and leave them out here");
                return;
            }

            if (!await book.SetRules(page))
            {
                await context.Refuse(StatusCodes.Status503ServiceUnavailable, NotStored, store.Reason);
                return;
            }

            Note(context, "alert rules changed", string.Join(", ", page.Rules.Select(static rule => rule.Key)));
        }
        else
        {
            await book.Refresh();
        }

        var held = book.Now;
        await context.Json(StatusCodes.Status200OK, AlertResponses.Rules(held.File, held.Page, held.Grouping, Maybe.Of(store.Report)));
    }

    /// <summary>GET and POST /api/alerts/silences/</summary>
    private async Task Silences(HttpContext context)
    {
        if (!HttpMethods.IsPost(context.Request.Method))
        {
            await book.Refresh();
            await context.Json(StatusCodes.Status200OK, AlertResponses.Silences(Now, book.Now.Rules.Silences));
            return;
        }

        if (await Read(context, static body => Checked(RuleSettingsModule.SilenceOfBody(body))) is not { } silence)
        {
            return;
        }

        var (isStored, added) = await book.Add(AlertJson.Numbered(0, context.Identity()?.Name ?? "", silence));

        if (!isStored)
        {
            await context.Refuse(StatusCodes.Status503ServiceUnavailable, NotStored, store.Reason);
        }
        else if (added is null)
        {
            await context.Refuse(
                StatusCodes.Status409Conflict, "There are too many silences.", $"at most {SilenceModule.Most}; delete one first");
        }
        else
        {
            Note(context, "silence added", $"{added.Id}: {added.Comment}");
            await context.Json(StatusCodes.Status201Created, AlertResponses.SilenceAdded(Now, added));
        }
    }

    /// <summary>DELETE /api/alerts/silences/ID/</summary>
    private async Task RemoveSilence(HttpContext context)
    {
        var number = Number(context);
        var (isStored, isKnown) = await book.Remove(number);

        if (!isStored)
        {
            await context.Refuse(StatusCodes.Status503ServiceUnavailable, NotStored, store.Reason);
        }
        else if (!isKnown)
        {
            await context.Refuse(StatusCodes.Status404NotFound, "Unknown silence.", context.Request.RouteValues["id"] as string ?? "");
        }
        else
        {
            Note(context, "silence removed", number.ToString(CultureInfo.InvariantCulture));
            await context.Json(StatusCodes.Status200OK, AlertResponses.Done());
        }
    }

    /// <summary>GET /api/alerts/channels/</summary>
    private Task ListChannels(HttpContext context) =>
        context.Json(
            StatusCodes.Status200OK,
            AlertResponses.Channels(
                book.File.Routes,
                [.. (channels?.States ?? []).Select(one => new ChannelLine(
                    one.Name,
                    one.Type,
                    channels!.Find(one.Name)!.Settings.Destination,
                    one.Counts.Waiting,
                    one.Counts.Delivered,
                    one.Counts.Refused,
                    one.Counts.Dropped,
                    one.Counts.LastAt,
                    one.Counts.WasGood,
                    one.Counts.LastResult))]));

    /// <summary>POST /api/alerts/channels/NAME/test/</summary>
    private async Task Test(HttpContext context)
    {
        var name = context.Request.RouteValues["name"] as string ?? "";

        if (channels?.Find(name) is null)
        {
            await context.Refuse(StatusCodes.Status404NotFound, "Unknown channel.", name);
        }
        else if (await channels.Test(name) is { } reason)
        {
            Note(context, "alert channel tested", $"{name}: {reason}");
            await context.Refuse(StatusCodes.Status502BadGateway, "The test was not delivered.", reason);
        }
        else
        {
            Note(context, "alert channel tested", name);
            await context.Json(StatusCodes.Status200OK, AlertResponses.Done());
        }
    }

    private static FSharpResult<T, Refusal> Checked<T>(FSharpResult<T, string[]> read) =>
        read.SelectError(AlertResponses.Unreadable);

    /// <summary>The number in the path; -1, which nothing has, where it is none.</summary>
    private static long Number(HttpContext context) =>
        long.TryParse(context.Request.RouteValues["id"] as string, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : -1;

    /// <summary>What a body says; null, and answered, where it cannot be read.</summary>
    private async Task<T?> Read<T>(HttpContext context, Func<ReadOnlyMemory<byte>, FSharpResult<T, Refusal>> read)
        where T : class
    {
        using var body = await RequestBody.ReadSmall(context, bodies, AlertResponses.LongestBody);

        if (body.Status != StatusCodes.Status200OK)
        {
            await context.Refuse(body.Status, body.Error, body.Detail);
            return null;
        }

        var found = read(body.Bytes);

        if (found.IsOk)
        {
            return found.ResultValue;
        }

        await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(found.ErrorValue));
        return null;
    }

    private void Note(HttpContext context, string what, string detail) =>
        audit.Note(what, context.Identity()?.Name ?? "", Forwarding.Key(context.Connection.RemoteIpAddress!), detail);
}
