using System.Security.Cryptography;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>
/// What one or more small files amount to, read again when their contents change. Contents are compared, not times: a file may be a
/// link into a directory that is exchanged as a whole. What cannot be used leaves the old value in force, and is told once.
/// </summary>
/// <param name="option">The option that names the files, for messages.</param>
/// <param name="paths">The files.</param>
/// <param name="longest">A larger file is not read, in bytes.</param>
/// <param name="parse">What the contents amount to, or a sentence.</param>
/// <param name="complain">Takes sentences.</param>
internal sealed class WatchedFiles<T>(
    string option, string[] paths, int longest, Func<byte[][], FSharpResult<T, string>> parse, Action<string> complain)
    where T : class
{
    private readonly Lock gate = new();
    private byte[] loaded = [];
    private byte[] refused = [];
    private bool isTold;
    private T? current;

    /// <summary>What the files amounted to when they could be used last.</summary>
    public T Current => current ?? throw new InvalidOperationException("not opened");

    /// <summary>Is called after a change, with the new value.</summary>
    public Action<T>? OnChange { get; set; }

    /// <summary>Where the contents of the one file are read from instead, or a sentence about why not; null for the files themselves.</summary>
    public Source? From { get; init; }

    /// <summary>What is said after a change; empty for nothing.</summary>
    public Func<T, string> Describe { get; init; } = static _ => "";

    /// <summary>Reads the files for the first time; null, or a sentence.</summary>
    public string? Open()
    {
        var contents = Read(out var problem);

        if (contents is null)
        {
            return $"{option}: {problem}";
        }

        var parsed = parse(contents);

        if (!parsed.IsOk)
        {
            return $"{option}: {Names} {parsed.ErrorValue}";
        }

        loaded = Digest(contents, "");
        current = parsed.ResultValue;
        return null;
    }

    /// <summary>Reads the files again, and takes over what changed. True when something did.</summary>
    public bool Poll()
    {
        lock (gate)
        {
            var contents = Read(out var problem);
            var digest = Digest(contents ?? [], problem);

            if (digest.AsSpan().SequenceEqual(loaded))
            {
                refused = [];
                return false;
            }

            if (digest.AsSpan().SequenceEqual(refused))
            {
                Tell(contents, problem);
                return false;
            }

            var parsed = contents is null ? FSharpResult<T, string>.NewError(problem) : parse(contents);

            if (!parsed.IsOk)
            {
                // It may be half of a change: it is told when it is still so the next time.
                refused = digest;
                isTold = false;
                return false;
            }

            loaded = digest;
            refused = [];
            current = parsed.ResultValue;
        }

        if (Describe(current) is { Length: > 0 } sentence)
        {
            complain($"{option}: {Names} {sentence}");
        }

        OnChange?.Invoke(current);
        return true;
    }

    private string Names => string.Join(" and ", paths.Select(static path => $"\"{path}\""));

    private void Tell(byte[][]? contents, string problem)
    {
        if (isTold)
        {
            return;
        }

        isTold = true;
        var reason = contents is null ? problem : $"{Names} {parse(contents).Match(static _ => "can be used after all", static error => error)}";
        complain($"{option}: {reason}; the previous contents stay in use");
    }

    private byte[][]? Read(out string problem)
    {
        if (From is { } source)
        {
            return source(out problem) is { } read ? [read] : null;
        }

        problem = "";
        var contents = new byte[paths.Length][];

        for (var index = 0; index < paths.Length; index++)
        {
            try
            {
                using var file = new FileStream(paths[index], FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 0);
                var buffer = new byte[Math.Min(file.Length, longest) + 1];
                var length = file.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);

                if (length > longest)
                {
                    problem = $"\"{paths[index]}\" is larger than {longest} bytes";
                    return null;
                }

                contents[index] = buffer[..length];
            }
            catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
            {
                problem = $"\"{paths[index]}\" cannot be read: {FaultReason.Of(unreadable)}";
                return null;
            }
        }

        return contents;
    }

    /// <summary>Gives contents; null with a sentence where there are none.</summary>
    public delegate byte[]? Source(out string problem);

    private static byte[] Digest(byte[][] contents, string problem)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

        foreach (var content in contents)
        {
            hash.AppendData(SHA256.HashData(content));
        }

        hash.AppendData(System.Text.Encoding.UTF8.GetBytes(problem));
        return hash.GetHashAndReset();
    }
}
