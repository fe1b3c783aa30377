using System.Net.Mime;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>Answers as JSON.</summary>
internal static class Replies
{
    /// <summary>Answers with bytes of JSON.</summary>
    public static Task Json(this HttpContext context, int status, ReadOnlyMemory<byte> body)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = MediaTypeNames.Application.Json;
        context.Response.ContentLength = body.Length;
        context.Response.Headers.CacheControl = "no-store";
        return HttpMethods.IsHead(context.Request.Method)
            ? Task.CompletedTask
            : context.Response.Body.WriteAsync(body, context.RequestAborted).AsTask();
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
