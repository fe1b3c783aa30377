using System.Security.Cryptography;
using System.Text;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>Those whom an OpenID Connect provider lets in. Nothing is kept of them but their sessions, whose stamps say provider and role.</summary>
internal sealed class ProviderAccounts(OidcSettings settings)
{
    /// <summary>The account of a name and a role.</summary>
    public Account Of(string name, Role role) => new(name, role, null, Stamp(role));

    /// <summary>The account of a session; null where another provider, or none, began it.</summary>
    public Account? Of(SessionRecord session) =>
        session.Stamp == Stamp(Role.Admin) ? Of(session.Name, Role.Admin)
        : session.Stamp == Stamp(Role.Viewer) ? Of(session.Name, Role.Viewer)
        : null;

    private string Stamp(Role role) =>
        Convert.ToHexStringLower(SHA256.HashData(
            Encoding.UTF8.GetBytes($"oidc\n{settings.Authority}\n{settings.ClientId}\n{Credentials.RoleName(role)}")))[..16];
}
