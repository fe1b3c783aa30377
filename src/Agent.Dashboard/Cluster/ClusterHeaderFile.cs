using Agent.Receiver.Cluster;
using Agent.Dashboard.Web;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Cluster;

/// <summary>The headers that a cluster of metrics asks for, from a file that is read again when it changes; none without a file. Safe for all threads.</summary>
internal sealed class ClusterHeaderFile
{
    private readonly WatchedFiles<HeaderSet>? file;
    private readonly (string Name, string Value)[] alone;

    private ClusterHeaderFile(WatchedFiles<HeaderSet>? file, (string Name, string Value)[] alone)
    {
        this.file = file;
        this.alone = alone;
    }

    /// <summary>Reads the file for the first time; else a sentence that says why it cannot be used.</summary>
    /// <param name="option">The option that names it.</param>
    /// <param name="path">The file; empty for none.</param>
    /// <param name="tenant">The tenant whose figures are asked for; empty for none.</param>
    /// <param name="complain">Takes sentences.</param>
    public static FSharpResult<ClusterHeaderFile, string> Open(string option, string path, string tenant, Action<string> complain)
    {
        if (path.Length == 0)
        {
            return FSharpResult<ClusterHeaderFile, string>.NewOk(
                new ClusterHeaderFile(null, tenant.Length == 0 ? [] : [(ClusterHeaders.Tenant, tenant)]));
        }

        var file = new WatchedFiles<HeaderSet>(
            option,
            [path],
            ClusterHeaders.LongestFile,
            contents => ClusterHeaders.ParseFor(tenant, contents[0]).Select(
                static headers => new HeaderSet([.. headers.Select(static one => (one.Item1, one.Item2))])),
            complain);

        if (file.Open() is { } unread)
        {
            return FSharpResult<ClusterHeaderFile, string>.NewError(unread);
        }

        PrivateText.WarnOfReaders(option, path, complain);
        return FSharpResult<ClusterHeaderFile, string>.NewOk(new ClusterHeaderFile(file, []));
    }

    /// <summary>Names and values as the file has them now. Values are secrets.</summary>
    public (string Name, string Value)[] Current()
    {
        file?.Poll();
        return file?.Current.Headers ?? alone;
    }

    /// <summary>What each request has beside its own headers.</summary>
    private sealed record HeaderSet((string Name, string Value)[] Headers);
}
