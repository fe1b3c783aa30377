using Agent.Core;
using Agent.Outbound;
using Microsoft.FSharp.Core;

namespace Agent.Shell;

/// <summary>
/// The file that says what is delivered, overwritten in place. One that lags behind costs duplicates after a restart, and
/// no sample; so a disk that refuses it is not worth a word. Something else in its place would cost them at every start, and is replaced.
/// </summary>
/// <param name="directory">The directory of the stream.</param>
/// <param name="warn">Told what a user should know, in one line.</param>
internal sealed class PositionFile(string directory, Action<string> warn) : IDisposable
{
    private readonly string path = Path.Join(directory, Spool.PositionName);
    private FileStream? file;
    private SpoolPosition? written;

    /// <summary>What was written last; none when that cannot be read.</summary>
    public FSharpValueOption<SpoolPosition> Read()
    {
        // At the first start there is none, which is no exception.
        if (FileStatus.Of(path, follow: false) is null && !Path.Exists(path))
        {
            return FSharpValueOption<SpoolPosition>.None;
        }

        try
        {
            using var stream = PrivateFiles.Open(path, FileMode.Open, FileAccess.Read);
            var content = new byte[256];
            return Spool.ReadPosition(content.AsSpan(0, stream.ReadAtLeast(content, content.Length, throwOnEndOfStream: false)));
        }
        catch (RefusedFileException refused)
        {
            Replace(refused.Message);
            return FSharpValueOption<SpoolPosition>.None;
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

    // The directory is the agent's own, so that only this name goes and not what a link leads to.
    private void Replace(string refusal)
    {
        try
        {
            File.Delete(path);
            warn($"{refusal}; it is replaced by a new file, and samples that were delivered already may be sent once more");
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            warn($"{refusal}; it cannot be removed, and at every start samples that were delivered already may be sent once more");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => file?.Dispose();
}
