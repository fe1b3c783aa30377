using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>Answers that are work for the threads that read the database.</summary>
internal static class WorkedAnswers
{
    /// <summary>Makes JSON on one of the threads.</summary>
    public static Task Answer(this Histories histories, HttpContext context, Func<Reader, WorkLimit, byte[]> make) =>
        Answer(context, null, "", stop => histories.Ask<byte[]?>((reader, limit) => make(reader, limit), stop));

    /// <summary>The same of what is read wherever histories are.</summary>
    public static Task AnswerHistory(this Histories histories, HttpContext context, Func<IHistoryReader, WorkLimit, byte[]> make) =>
        Answer(context, null, "", stop => histories.AskHistory<byte[]?>((reader, limit) => make(reader, limit), stop));

    /// <summary>The same of the database and of what is read wherever histories are.</summary>
    public static Task AnswerBoth(
        this Histories histories, HttpContext context, Func<Reader, IHistoryReader, WorkLimit, byte[]> make) =>
        Answer(context, null, "", stop => histories.AskBoth<byte[]?>((reader, history, limit) => make(reader, history, limit), stop));

    /// <summary>The same; where there is nothing to tell the answer is 404 with <paramref name="absent"/>.</summary>
    public static Task AnswerHistory(
        this Histories histories, HttpContext context, string absent, Func<IHistoryReader, WorkLimit, byte[]?> make) =>
        Answer(context, null, absent, stop => histories.AskHistory(make, stop));

    /// <summary>Makes CSV of what is read wherever histories are, to be saved under a name.</summary>
    public static Task AnswerFile(this Histories histories, HttpContext context, string file, Func<IHistoryReader, WorkLimit, byte[]> make) =>
        Answer(context, file, "", stop => histories.AskHistory<byte[]?>((reader, limit) => make(reader, limit), stop));

    private static async Task Answer(HttpContext context, string? file, string absent, Func<CancellationToken, Task<byte[]?>?> ask)
    {
        try
        {
            var making = ask(context.RequestAborted);

            if (making is null)
            {
                context.Response.Headers.RetryAfter = "2";
                await context.Refuse(
                    StatusCodes.Status503ServiceUnavailable, "Too many histories are asked for.", "try again in a few seconds");
                return;
            }

            var body = await making;
            await (body is null ? context.Refuse(StatusCodes.Status404NotFound, absent)
                : file is null ? context.Json(StatusCodes.Status200OK, body)
                : context.Csv(file, body));
        }
        catch (WorkLimitException late)
        {
            await context.Refuse(
                StatusCodes.Status503ServiceUnavailable,
                "The answer takes too much work.",
                $"more than {late.Limit.TotalSeconds} s; ask for fewer minutes, or for one server");
        }
    }
}
