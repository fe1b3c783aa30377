using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>A browser from which somebody has logged in before.</summary>
/// <param name="Name">The account's name.</param>
/// <param name="Id">What tells it from others.</param>
internal sealed record Device(string Name, string Id);

/// <summary>
/// Cookies by which a browser is known again that has logged in before (OWASP, Slow Down Online Guessing Attacks with Device Cookies).
/// Its attempts are counted apart from everybody else's on the same address or account, so that guesses of others do not keep it
/// waiting. The cookie lets nobody in.
/// </summary>
internal sealed class Devices(byte[] key)
{
    /// <summary>Bytes of a new key.</summary>
    public const int KeyBytes = 32;

    private const string Cookie = "ai-dashboard-device";
    private const int IdBytes = 16;
    private static readonly TimeSpan Age = TimeSpan.FromDays(365);

    /// <summary>The browser of a request; null for one that is not known.</summary>
    public Device? Of(HttpRequest request)
    {
        if (request.Cookies[Cookie] is not { Length: > 0 and <= 256 } text
            || text.Split(':') is not [var name, var id, var signature]
            || !CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(Sign(name, id)), Encoding.UTF8.GetBytes(signature)))
        {
            return null;
        }

        return new Device(name, id);
    }

    /// <summary>Makes a browser known, for an account.</summary>
    public void Remember(HttpContext context, string name)
    {
        var id = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(IdBytes));
        context.Response.Cookies.Append(Cookie, $"{name}:{id}:{Sign(name, id)}", SessionCookies.Options(context, Age, "/login"));
    }

    private string Sign(string name, string id) =>
        Base64Url.EncodeToString(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes($"{name}:{id}")));
}
