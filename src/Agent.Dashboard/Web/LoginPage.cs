using System.Text;
using Agent.Receiver;
using Microsoft.Extensions.FileProviders;

namespace Agent.Dashboard.Web;

/// <summary>GET /login: the page as it lies in wwwroot, without the fields that this dashboard has no use for.</summary>
internal sealed class LoginPage
{
    private readonly string text;

    /// <summary>Reads the page once, with the parts of these marks.</summary>
    public LoginPage(IFileProvider files, params IEnumerable<string> marks)
    {
        using var file = new StreamReader(files.GetFileInfo("login.html").CreateReadStream());
        text = With(file.ReadToEnd(), marks.ToHashSet(StringComparer.Ordinal));
    }

    /// <summary>Answers with it.</summary>
    public Task Send(HttpContext context)
    {
        context.Response.ContentType = "text/html; charset=utf-8";
        context.Response.Headers.CacheControl = "no-cache";
        return HttpMethods.IsHead(context.Request.Method)
            ? Task.CompletedTask
            : context.Response.WriteAsync(
                text.Replace("{next}", Uri.EscapeDataString(Redirects.Home(context.Request.Query["next"].ToString())), StringComparison.Ordinal),
                context.RequestAborted);
    }

    /// <summary>The page without the parts between other marks: lines such as <c>&lt;!-- names --&gt;</c> and <c>&lt;!-- /names --&gt;</c>.</summary>
    private static string With(string page, HashSet<string> kept)
    {
        var result = new StringBuilder(page.Length);
        var dropped = 0;

        foreach (var line in page.TrimEnd('\n').Split('\n'))
        {
            if (MarkIn(line.Trim()) is { } mark)
            {
                dropped += kept.Contains(mark.TrimStart('/')) ? 0 : mark.StartsWith('/') ? -1 : 1;
            }
            else if (dropped == 0)
            {
                result.Append(line).Append('\n');
            }
        }

        return result.ToString();
    }

    private static string? MarkIn(string line) =>
        line.StartsWith("<!-- ", StringComparison.Ordinal) && line.EndsWith(" -->", StringComparison.Ordinal) ? line[5..^4] : null;
}
