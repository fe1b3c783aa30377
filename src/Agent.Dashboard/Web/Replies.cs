using System.Net.Mime;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>Answers as JSON.</summary>
internal static class Replies
{
    /// <summary>So many bytes are handed over at a time: the server copies what it is given, however slowly it is read.</summary>
    private const int Piece = 65536;

    /// <summary>Answers with bytes of JSON.</summary>
    public static Task Json(this HttpContext context, int status, ReadOnlyMemory<byte> body)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = MediaTypeNames.Application.Json;
        context.Response.ContentLength = body.Length;
        context.Response.Headers.CacheControl = "no-store";
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask
            : body.Length <= Piece ? context.Response.Body.WriteAsync(body, context.RequestAborted).AsTask()
            : InPieces(context, body);
    }

    /// <summary>Answers with a file of comma-separated values (RFC 4180), to be saved under that name.</summary>
    public static async Task Csv(this HttpContext context, string file, ReadOnlyMemory<byte> body)
    {
        context.Response.ContentType = "text/csv; charset=utf-8; header=present";
        context.Response.ContentLength = body.Length;
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers.ContentDisposition = $"attachment; filename=\"{file}\"";

        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await InPieces(context, body);
        }
    }

    private static async Task InPieces(HttpContext context, ReadOnlyMemory<byte> body)
    {
        for (var start = 0; start < body.Length; start += Piece)
        {
            await context.Response.Body.WriteAsync(body[start..Math.Min(body.Length, start + Piece)], context.RequestAborted);
        }
    }

    /// <summary>Refuses, with a constant sentence and what varies.</summary>
    public static Task Refuse(this HttpContext context, int status, string error, string detail = "") =>
        context.Json(status, Responses.Refused(new Refusal(error, detail)));

    /// <summary>Refuses a method, and says which ones there are.</summary>
    public static Task RefuseMethod(this HttpContext context, string allowed)
    {
        context.Response.Headers.Allow = allowed;
        return context.Refuse(StatusCodes.Status405MethodNotAllowed, "Method not allowed.", $"use {allowed}");
    }
}
