namespace Agent.Host.Buffering;

/// <summary>The outbox of an agent whose samples nobody is to receive: it holds nothing and loses nothing.</summary>
internal sealed class NoOutbox : IOutbox
{
    /// <inheritdoc/>
    public long Count => 0;

    /// <inheritdoc/>
    public long Kept => 0;

    /// <inheritdoc/>
    public DropCounts Dropped => default;

    /// <inheritdoc/>
    public string Limit => "no samples";

    /// <inheritdoc/>
    public EncodedSample? Oldest => null;

    /// <inheritdoc/>
    public EncodedSample[] Behind(int most, int bytes) => [];

    /// <inheritdoc/>
    public void Add(EncodedSample sample)
    {
    }

    /// <inheritdoc/>
    public void Remove(EncodedSample delivered)
    {
    }

    /// <inheritdoc/>
    public void SetAside(EncodedSample refused, string reason)
    {
    }

    /// <inheritdoc/>
    public void Settle()
    {
    }

    /// <inheritdoc/>
    public void TakeBack()
    {
    }

    /// <inheritdoc/>
    public void Flush()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
