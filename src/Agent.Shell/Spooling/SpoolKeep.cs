using Agent.Core;
using Agent.Outbound;

namespace Agent.Shell;

/// <summary>
/// What was taken out of the stream for people to look at: records that are damaged and samples that the webapp refused.
/// Each kind has a directory with one file, which is kept once more as .old when it is full.
/// </summary>
/// <param name="directory">The directory of the stream.</param>
/// <param name="size">A file is full at so many bytes.</param>
/// <param name="warn">Told what a user should know, in one line.</param>
internal sealed class SpoolKeep(string directory, long size, Action<string> warn)
{
    private bool failing;

    /// <summary>Where damaged records and segments go.</summary>
    public string DamagedDirectory => Path.Join(directory, "damaged");

    /// <summary>Where refused samples go.</summary>
    public string RejectedDirectory => Path.Join(directory, "rejected");

    /// <summary>Keeps the bytes of a record that cannot be sent; false where that fails.</summary>
    public bool Damaged(ReadOnlySpan<byte> record) => Append(DamagedDirectory, "damaged.v1.ndjson", record);

    /// <summary>Keeps a sample that the webapp refused, with its reason.</summary>
    public void Refused(string reason, ReadOnlySpan<byte> body) =>
        Append(RejectedDirectory, "rejected.v1.ndjson", Spool.RefusedLine(reason, body));

    /// <summary>Moves a whole segment that cannot be read out of the stream; false where that fails.</summary>
    public bool DamagedSegment(string path) =>
        Try(DamagedDirectory, () => File.Move(path, Path.Join(DamagedDirectory, Path.GetFileName(path)), overwrite: true));

    private bool Append(string folder, string name, ReadOnlySpan<byte> line)
    {
        var whole = new byte[line.Length + (line is [.., (byte)'\n'] ? 0 : 1)];
        line.CopyTo(whole);
        whole[^1] = (byte)'\n';

        return Try(folder, () =>
        {
            var path = Path.Join(folder, name);
            var file = new FileInfo(path);

            if (file.Exists && file.Length >= size)
            {
                file.MoveTo(path + ".old", overwrite: true);
            }

            using var stream = PrivateFiles.Open(path, FileMode.Append, FileAccess.Write);
            stream.Write(whole);
        });
    }

    private bool Try(string folder, Action action)
    {
        try
        {
            PrivateFiles.MakeDirectory(folder);
            PrivateFiles.CheckDirectory(folder);
            action();
            failing = false;
            return true;
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            if (!failing)
            {
                failing = true;
                warn($"{folder} cannot be written to: {FaultReason.Of(error)}");
            }

            return false;
        }
    }
}
