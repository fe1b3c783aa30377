namespace Agent.Dashboard.Web;

/// <summary>Marks an endpoint that changes nothing, whatever the method of a request: what else there is needs an admin for changes.</summary>
internal sealed class ReadOnlyEndpoint
{
    /// <summary>The mark.</summary>
    public static readonly ReadOnlyEndpoint Mark = new();
}
