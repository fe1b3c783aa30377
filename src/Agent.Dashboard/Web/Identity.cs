using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>Whoever asks, as the guard found out.</summary>
/// <param name="Name">The user's or the token's name; empty where nobody has to say it.</param>
/// <param name="Role">What may be done.</param>
/// <param name="Life">Cancelled when the session, the user or the token is no more, which ends what was begun with it.</param>
internal sealed record Identity(string Name, Role Role, CancellationToken Life)
{
    /// <summary>Everybody, where nobody has to log in.</summary>
    public static readonly Identity Anybody = new("", Role.Viewer, CancellationToken.None);
}

/// <summary>Where a request keeps who asks.</summary>
internal static class Identities
{
    /// <summary>Whoever asks; null for what is open to all.</summary>
    public static Identity? Identity(this HttpContext context) => context.Features.Get<Identity>();
}
