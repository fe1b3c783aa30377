using Agent.Core;
using Agent.Host.Reading.Jobs;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>One file of a collector, which is read into the same memory again as long as its length stays.</summary>
internal sealed class CollectorFile : IDisposable
{
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(1);

    private readonly string path;
    private readonly string[] names;
    private readonly string name;
    private readonly SmallFiles files;
    private readonly TextParser<byte[]> keep;
    private KeptFile? file;
    private TimeSpan absentUntil;
    private byte[] bytes = [];
    private bool isOther;

    /// <summary>One that was not read yet.</summary>
    /// <param name="directory">Where it lies.</param>
    /// <param name="names">What the stars of the directory's shape stand for.</param>
    /// <param name="name">What the collector calls it: its path below the directory.</param>
    /// <param name="files">What reads it.</param>
    public CollectorFile(string directory, string[] names, string name, SmallFiles files)
    {
        path = Path.Join(directory, name);
        this.names = names;
        this.name = name;
        this.files = files;
        keep = Keep;
    }

    /// <summary>What it said at the last reading; null where it could not be read.</summary>
    public FileText? Text { get; private set; }

    /// <summary>Reads the whole file; true when it says something else than before.</summary>
    /// <param name="now">The monotonic clock.</param>
    public bool Read(TimeSpan now)
    {
        if (now < absentUntil)
        {
            return false;
        }

        isOther = false;
        // What was open may be that of a device that is gone, and another one in its place.
        var wasOpen = file is not null;
        var read = ReadOnce();
        read = wasOpen && !read.IsOk ? ReadOnce() : read;

        if (!read.IsOk)
        {
            absentUntil = read.ErrorValue.IsAbsent ? now + LookAgain : absentUntil;
            isOther = Text is not null;
            Text = null;
            bytes = [];
        }

        return isOther;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        file?.Dispose();
        file = null;
    }

    private FSharpResult<byte[], SourceError> ReadOnce()
    {
        file ??= new KeptFile(path, files);
        var read = file.Read(keep);

        if (!read.IsOk)
        {
            Dispose();
        }

        return read;
    }

    private FSharpResult<byte[], ParseError> Keep(ReadOnlySpan<byte> text)
    {
        isOther = !text.SequenceEqual(bytes);

        if (text.Length == bytes.Length)
        {
            text.CopyTo(bytes);
        }
        else
        {
            bytes = text.ToArray();
            Text = null;
        }

        Text ??= new FileText(names, name, bytes);
        return FSharpResult<byte[], ParseError>.NewOk(bytes);
    }
}
