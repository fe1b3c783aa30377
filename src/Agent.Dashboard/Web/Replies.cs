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
