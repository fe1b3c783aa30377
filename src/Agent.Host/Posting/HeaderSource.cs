using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>
/// Headers from a file that the user named, which is read again when it has changed. Used by one thread at a time.
/// </summary>
internal sealed class HeaderSource
{
    private readonly string path;
    private readonly string origin;
    private (DateTime Written, long Length) stamp;

    private HeaderSource(string path, string origin, (string, Secret)[] headers)
    {
        this.path = path;
        this.origin = origin;
        Current = headers;
        stamp = Stamp();
    }

    /// <summary>The headers to send now.</summary>
    public (string, Secret)[] Current { get; private set; }

    /// <summary>Why the file as it is now is of no use, so that the headers are those of before; empty when it is.</summary>
    public string Problem { get; private set; } = "";

    /// <summary>The flag or variable that named the file.</summary>
    public string Origin => origin;

    /// <summary>What a user should know of where the headers lie; empty when there is nothing to say.</summary>
    public string Warning => UserFile.Exposure(path, origin);

    /// <summary>The headers in the file, or the sentence that says why there are none.</summary>
    public static FSharpResult<HeaderSource, ConfigError> Open(string path, string origin) =>
        from headers in Read(path, origin)
        select new HeaderSource(path, origin, headers);

    /// <summary>Reads the file again where it has another time or length than before.</summary>
    public void RefreshIfChanged()
    {
        if (Stamp() != stamp)
        {
            Refresh();
        }
    }

    /// <summary>Reads the file again; true when it holds other headers than before.</summary>
    public bool Refresh()
    {
        stamp = Stamp();

        return Read(path, origin).Match(
            headers =>
            {
                var changed = !headers.SequenceEqual(Current);
                (Current, Problem) = (headers, "");
                return changed;
            },
            error =>
            {
                Problem = error.Message;
                return false;
            });
    }

    // The name of the file and of a line, and never its content, goes into an error.
    private static FSharpResult<(string, Secret)[], ConfigError> Read(string path, string origin) =>
        from text in UserFile.Read(path).SelectError(reason => new ConfigError(origin, $"{origin}: {path} {reason}"))
        from headers in HeaderFile.Read($"{origin}: {path}", text)
        select headers;

    private (DateTime, long) Stamp()
    {
        try
        {
            var file = new FileInfo(path);
            return (file.LastWriteTimeUtc, file.Exists ? file.Length : -1);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return default;
        }
    }
}
