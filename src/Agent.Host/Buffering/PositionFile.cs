using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Buffering;

/// <summary>
/// The file that says what is delivered, overwritten in place. One that lags behind costs duplicates after a restart, and
/// no sample; so a disk that refuses it is not worth a word.
/// </summary>
internal sealed class PositionFile(string directory) : IDisposable
{
    private readonly string path = Path.Join(directory, Spool.PositionName);
    private FileStream? file;
    private SpoolPosition? written;

    /// <summary>What was written last; none when that cannot be read.</summary>
    public FSharpValueOption<SpoolPosition> Read()
    {
        // At the first start there is none, which is no exception.
        if (!File.Exists(path))
        {
            return FSharpValueOption<SpoolPosition>.None;
        }

        try
        {
            using var stream = PrivateFiles.Open(path, FileMode.Open, FileAccess.Read);
            var content = new byte[256];
            return Spool.ReadPosition(content.AsSpan(0, stream.ReadAtLeast(content, content.Length, throwOnEndOfStream: false)));
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            return FSharpValueOption<SpoolPosition>.None;
        }
    }

    /// <summary>Writes the position, unless that was done; false when the disk refuses.</summary>
    public bool Write(SpoolPosition position)
    {
        if (written is { } last && last.Equals(position))
        {
            return true;
        }

        try
        {
            file ??= PrivateFiles.Open(path, FileMode.OpenOrCreate, FileAccess.Write);
            var content = Spool.WritePosition(position);
            RandomAccess.Write(file.SafeFileHandle, content, 0);

            if (file.Length > content.Length)
            {
                // Left by a damage or by another hand.
                file.SetLength(content.Length);
            }

            written = position;
            return true;
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            Dispose();
            file = null;
            return false;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => file?.Dispose();
}
