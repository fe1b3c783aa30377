using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>The ingest token, from where the user said. A file is read again when the webapp refuses what it held.</summary>
internal sealed class TokenSource
{
    private readonly string? path;
    private readonly string origin;
    private Secret current;

    private TokenSource(Secret token, string origin, string? path)
    {
        current = token;
        this.origin = origin;
        this.path = path;
    }

    /// <summary>The token to send now.</summary>
    public Secret Current => Volatile.Read(ref current);

    /// <summary>A warning about where the token is stored; empty when there is nothing to say.</summary>
    public string Warning
    {
        get
        {
            if (path is null)
            {
                return origin.StartsWith("--", StringComparison.Ordinal)
                    ? $"{origin}: everybody on this machine can see the token with ps; use --token-file or AI_DASHBOARD_TOKEN"
                    : "";
            }

            return UserFile.Exposure(path, origin);
        }
    }

    /// <summary>The token of that origin, or the sentence that says why there is none.</summary>
    public static FSharpResult<TokenSource, ConfigError> Open(TokenOrigin origin) => origin.Match(
        given: static (token, name) => FSharpResult<TokenSource, ConfigError>.NewOk(new TokenSource(token, name, null)),
        file: static (path, name) =>
            from token in Read(path, name)
            select new TokenSource(token, name, path),
        credential: static path => HasText(path)
            ? from token in Read(path, "credential")
              select new TokenSource(token, "credential", path)
            : FSharpResult<TokenSource, ConfigError>.NewError(IngestToken.Missing));

    /// <summary>Reads the file again; true when it holds another token than before.</summary>
    public bool Refresh()
    {
        if (path is null)
        {
            return false;
        }

        // A file that is being replaced at this moment is read again at the next refusal.
        return Read(path, origin).Match(
            token =>
            {
                var changed = !token.Equals(current);
                Volatile.Write(ref current, token);
                return changed;
            },
            static _ => false);
    }

    // The name of the file, and never its content, goes into an error.
    private static FSharpResult<Secret, ConfigError> Read(string path, string origin) =>
        from text in UserFile.Read(path).SelectError(reason => new ConfigError(origin, $"{origin}: {path} {reason}"))
        from token in IngestToken.Read($"{origin}: {path}", text)
        select token;

    // The unit's default is a blank line: systemd takes no credential of nothing.
    private static bool HasText(string path)
    {
        try
        {
            return !string.IsNullOrWhiteSpace(File.ReadAllText(path));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return File.Exists(path);
        }
    }
}
