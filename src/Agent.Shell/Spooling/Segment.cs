namespace Agent.Shell;

/// <summary>One file of records.</summary>
/// <param name="number">Its place among the others.</param>
/// <param name="path">Where it lies.</param>
internal sealed class Segment(long number, string path)
{
    /// <summary>Its place among the others.</summary>
    public long Number => number;

    /// <summary>Where it lies.</summary>
    public string Path => path;

    /// <summary>Bytes of whole records.</summary>
    public long Size { get; set; }

    /// <summary>Records that are not delivered yet, those that were set aside among them.</summary>
    public long Held { get; set; }
}
