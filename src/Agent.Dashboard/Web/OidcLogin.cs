using System.Globalization;
using System.Security.Claims;
using System.Text.Encodings.Web;
using System.Xml.Linq;
using Agent.Dashboard.State;
using Agent.Receiver;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;

namespace Agent.Dashboard.Web;

/// <summary>
/// Log-ins by an OpenID Connect provider, with ASP.NET Core's own handler: authorization code flow with PKCE (RFC 7636). What comes of one
/// is a session like any other.
/// </summary>
internal sealed class OidcLogin(
    OidcSettings settings, string secret, ProviderAccounts accounts, Sessions sessions, AttemptLimits limits, AuditLog audit)
{
    /// <summary>Where the provider sends people back to.</summary>
    public const string Callback = "/login/oidc/callback";

    /// <summary>Where a log-in begins.</summary>
    public const string Start = "/login/oidc";

    private const string Scheme = "oidc";
    private const string Refused = "login refused";

    /// <summary>Where a log-in keeps when it began, for the count of attempts.</summary>
    private const string BegunKey = "begun";

    /// <summary>Adds the handler to the services of the web server.</summary>
    public void AddTo(IServiceCollection services)
    {
        services.AddAuthentication().AddOpenIdConnect(Scheme, Configure);
        // What a log-in that is under way needs is protected by keys that last as long as the process: a restart costs such log-ins alone,
        // and there is no file of keys to keep.
        services.AddDataProtection()
            .UseEphemeralDataProtectionProvider()
            .AddKeyManagementOptions(static options =>
            {
                options.XmlRepository = new NoKeys();
                options.AutoGenerateKeys = false;
            });

        if (sessions.IsShared)
        {
            // One that was begun at one dashboard may end at another.
            services.AddSingleton<IDataProtectionProvider>(new SharedProtection(sessions.DeviceKey));
        }
    }

    /// <summary>Sends somebody to the provider.</summary>
    public async Task Challenge(HttpContext context)
    {
        var address = Forwarding.Key(context.Connection.RemoteIpAddress!);
        var wait = limits.Begin(address, out var begun);

        if (wait > TimeSpan.Zero)
        {
            audit.Note(Refused, "", address, "too many attempts from this address");
            context.Response.Headers.RetryAfter = $"{Math.Ceiling(wait.TotalSeconds)}";
            await context.Refuse(StatusCodes.Status429TooManyRequests, "Too many attempts to log in.", $"try again in {wait.TotalSeconds:0} s");
            return;
        }

        var properties = new AuthenticationProperties { RedirectUri = Redirects.Home(context.Request.Query["next"].ToString()) };
        properties.Items[BegunKey] = begun.Ticks.ToString(CultureInfo.InvariantCulture);

        try
        {
            await context.ChallengeAsync(Scheme, properties);
        }
        catch (Exception unreachable) when (unreachable is InvalidOperationException or HttpRequestException or IOException)
        {
            audit.Note(Refused, "", address, $"the provider cannot be used: {unreachable.GetBaseException().Message}");
            await context.Refuse(StatusCodes.Status502BadGateway, "The provider cannot be reached.", settings.Authority);
        }
    }

    private void Configure(OpenIdConnectOptions options)
    {
        options.Authority = settings.Authority;
        options.ClientId = settings.ClientId;
        options.ClientSecret = secret.Length == 0 ? null : secret;
        options.RequireHttpsMetadata = !new Uri(settings.Authority).IsLoopback;
        options.ResponseType = OpenIdConnectResponseType.Code;
        // The answer comes as an address, so that its cookies need not be sent along with other sites' forms.
        options.ResponseMode = OpenIdConnectResponseMode.Query;
        options.UsePkce = true;
        options.CallbackPath = Callback;
        options.SignInScheme = "session";
        options.MapInboundClaims = false;
        options.SaveTokens = false;
        options.DisableTelemetry = true;
        options.Scope.Clear();

        foreach (var scope in Oidc.scopes)
        {
            options.Scope.Add(scope);
        }

        options.NonceCookie.SameSite = SameSiteMode.Lax;
        options.NonceCookie.SecurePolicy = CookieSecurePolicy.SameAsRequest;
        options.CorrelationCookie.SameSite = SameSiteMode.Lax;
        options.CorrelationCookie.SecurePolicy = CookieSecurePolicy.SameAsRequest;
        options.BackchannelTimeout = TimeSpan.FromSeconds(10);
        options.Events = new OpenIdConnectEvents
        {
            OnTicketReceived = Received,
            OnRemoteFailure = Failed,
            OnAccessDenied = context =>
            {
                context.HandleResponse();
                return Deny(context.HttpContext, "", "the provider refused");
            },
        };
    }

    private async Task Received(TicketReceivedContext context)
    {
        context.HandleResponse();
        var principal = context.Principal ?? new ClaimsPrincipal();
        var claims = principal.Claims.Select(static claim => new Claim(claim.Type, claim.Value)).ToArray();
        var name = Oidc.Name(Value("preferred_username"), Value("email"), Value("sub"));
        var role = Oidc.RoleOf(settings, (type, value) => claims.Any(claim => claim.Type == type && claim.Value == value));

        if (role.IsValueNone || name.Length == 0)
        {
            await Deny(context.HttpContext, name, "the provider sent no claim that grants access");
            return;
        }

        var address = Forwarding.Key(context.HttpContext.Connection.RemoteIpAddress!);

        if (long.TryParse(context.Properties?.Items[BegunKey], NumberStyles.None, CultureInfo.InvariantCulture, out var begun))
        {
            limits.Forgive(address, TimeSpan.FromTicks(begun));
        }

        if (await sessions.Open(accounts.Of(name, role.Value)) is not { } token)
        {
            await context.HttpContext.Refuse(StatusCodes.Status503ServiceUnavailable, LoginEndpoint.NotKept, sessions.Reason);
            return;
        }

        audit.Note("login", name, address, "through the provider");
        SessionCookies.Set(context.HttpContext, token);
        await Lead(context.HttpContext, Redirects.Home(context.ReturnUri ?? "/"));

        string Value(string type) => claims.FirstOrDefault(claim => claim.Type == type)?.Value ?? "";
    }

    /// <summary>
    /// A redirect would still count as coming from the provider's site, and the browser would keep the session's cookie back. A page of
    /// our own that moves on does not.
    /// </summary>
    private static Task Lead(HttpContext context, string next)
    {
        context.Response.ContentType = "text/html; charset=utf-8";
        context.Response.Headers.CacheControl = "no-store";
        var page = HtmlEncoder.Default.Encode(next);
        return context.Response.WriteAsync(
            $"<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={page}\"><title>Logged in</title><a href=\"{page}\">Go on</a>",
            context.RequestAborted);
    }

    private Task Failed(RemoteFailureContext context)
    {
        context.HandleResponse();
        return Deny(context.HttpContext, "", "the provider's answer cannot be used", context.Failure?.GetBaseException().Message ?? "");
    }

    private Task Deny(HttpContext context, string name, string reason, string detail = "")
    {
        audit.Note(Refused, name, Forwarding.Key(context.Connection.RemoteIpAddress!), detail.Length == 0 ? reason : $"{reason}: {detail}");
        return context.Refuse(StatusCodes.Status403Forbidden, "The provider did not let you in.", reason);
    }

    /// <summary>No keys on the disk.</summary>
    private sealed class NoKeys : IXmlRepository
    {
        public IReadOnlyCollection<XElement> GetAllElements() => [];

        public void StoreElement(XElement element, string friendlyName)
        {
            // Keys last as long as the process.
        }
    }
}
