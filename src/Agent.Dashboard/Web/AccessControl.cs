using System.Net;
using System.Text;
using Agent.Dashboard.State;
using Agent.Dashboard.Store;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>Who may look: everything that the settings ask for, opened, and kept up to date while it serves.</summary>
internal sealed class AccessControl : IDisposable
{
    /// <summary>How often files are looked at. What a log-in or a token asks for is looked up at once.</summary>
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(2);

    private readonly WatchedFiles<Dictionary<string, Account>>? users;
    private readonly WatchedFiles<Dictionary<string, AccessToken>>? tokens;
    private readonly Action<string> complain;
    private readonly ITimer? timer;
    private int isPolling;
    private string defect = "";

    private AccessControl(
        Parts parts, AccessSettings settings, AgentClock clock, Action<string> complain)
    {
        var audit = new AuditLog(complain, clock);
        var limits = new AttemptLimits(clock);
        this.complain = complain;
        Settings = settings;
        Audit = audit;
        Login = parts is { Accounts: { } accounts, Sessions: { } opened }
            ? new LoginEndpoint(accounts, opened, limits, audit, clock)
            : null;
        Sessions = parts.Sessions;
        Tls = parts.Tls;
        Oidc = parts is { Accounts.Provider: { } provider, Sessions: { } sessions }
            ? new OidcLogin(settings.Oidc, parts.ProviderSecret, provider, sessions, limits, audit)
            : null;
        users = parts.Users;
        tokens = parts.Tokens;
        Tokens = tokens is null ? null : new AccessTokens(tokens);
        // Where everybody may look there is nothing to watch.
        timer = settings.IsOpen && Tls is null ? null : clock.CreateTimer(_ => Poll(), null, Period, Period);
    }

    /// <summary>What it was told.</summary>
    public AccessSettings Settings { get; }

    /// <summary>Where refusals are written down.</summary>
    public AuditLog Audit { get; }

    /// <summary>The log-in; null where nobody logs in here.</summary>
    public LoginEndpoint? Login { get; }

    /// <summary>The log-in by a provider; null without one.</summary>
    public OidcLogin? Oidc { get; }

    /// <summary>The sessions; null where nobody logs in here.</summary>
    public Sessions? Sessions { get; }

    /// <summary>The tokens of scripts; null without any.</summary>
    public AccessTokens? Tokens { get; }

    /// <summary>The listener's certificate; null without TLS.</summary>
    public TlsCertificates? Tls { get; }

    /// <summary>Whether the user that a proxy names is believed: from the proxies that were named, or from this machine where none was.</summary>
    public bool MayNameUsers(IPAddress peer) =>
        Settings.ProxyUserHeader.Length > 0
        && (Settings.TrustedProxies.Length > 0
            ? Forwarding.IsTrusted(Settings.TrustedProxies, peer)
            : IPAddress.IsLoopback(Forwarding.Plain(peer)));

    /// <summary>Opens all that the settings ask for; the error is a sentence.</summary>
    /// <param name="serve">What they are.</param>
    /// <param name="shared">The sessions of several dashboards; null for a file of them.</param>
    /// <param name="clock">The time.</param>
    /// <param name="complain">Takes sentences.</param>
    public static FSharpResult<AccessControl, string> Open(ServeSettings serve, SharedSessions? shared, AgentClock clock, Action<string> complain)
    {
        var settings = serve.Access;

        return
            from viewers in ViewerPassword(settings.ViewerPasswordFile)
            from secret in ProviderSecret(settings.Oidc.ClientSecretFile)
            from parts in Parts.Open(serve, shared, viewers, secret, clock, complain)
            select new AccessControl(parts, settings, clock, complain);
    }

    /// <inheritdoc/>
    public void Dispose() => timer?.Dispose();

    private void Poll()
    {
        if (Interlocked.Exchange(ref isPolling, 1) == 1)
        {
            return;
        }

        try
        {
            users?.Poll();
            tokens?.Poll();
            Tls?.Poll();
            Sessions?.Refresh();
            Sessions?.EndInvalid();
            Audit.Renew();
        }
        catch (Exception unforeseen)
        {
            if (defect != unforeseen.Message)
            {
                complain($"a defect: watching files of access: {unforeseen.GetType().Name}: {unforeseen.Message}");
            }

            defect = unforeseen.Message;
        }
        finally
        {
            Volatile.Write(ref isPolling, 0);
        }
    }

    private static FSharpResult<string, string> ViewerPassword(string path)
    {
        if (path.Length == 0)
        {
            return FSharpResult<string, string>.NewOk("");
        }

        try
        {
            return Access.PasswordOf(path, File.ReadAllText(path)).SelectError(static error => error.Message);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return FSharpResult<string, string>.NewError($"--viewer-password-file: \"{path}\" cannot be read: {FaultReason.Of(unreadable)}");
        }
    }

    private static FSharpResult<string, string> ProviderSecret(string path)
    {
        try
        {
            return FSharpResult<string, string>.NewOk(path.Length == 0 ? "" : File.ReadAllText(path).Trim());
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return FSharpResult<string, string>.NewError($"--oidc-client-secret-file: \"{path}\" cannot be read: {FaultReason.Of(unreadable)}");
        }
    }

    /// <summary>What is opened before anything is served.</summary>
    private sealed record Parts(
        WatchedFiles<Dictionary<string, Account>>? Users,
        WatchedFiles<Dictionary<string, AccessToken>>? Tokens,
        Accounts? Accounts,
        Sessions? Sessions,
        TlsCertificates? Tls,
        string ProviderSecret)
    {
        public static FSharpResult<Parts, string> Open(
            ServeSettings serve, SharedSessions? shared, string viewerPassword, string secret, AgentClock clock, Action<string> complain)
        {
            var settings = serve.Access;
            var users = Watch("--users-file", settings.UsersFile, Web.Accounts.Read, complain)
                ?? Watch(settings, shared, Setting.Users, Web.Accounts.Read, clock, complain);
            var tokens = Watch("--tokens-file", settings.TokensFile, AccessTokens.Read, complain)
                ?? Watch(settings, shared, Setting.Tokens, AccessTokens.Read, clock, complain);

            if ((users?.Open() ?? tokens?.Open()) is { } problem)
            {
                return FSharpResult<Parts, string>.NewError(
                    settings.AccountsInState || File.Exists(problem.StartsWith("--users", StringComparison.Ordinal) ? settings.UsersFile : settings.TokensFile)
                        ? problem
                        : $"{problem}; `ai-dashboard {(problem.StartsWith("--users", StringComparison.Ordinal) ? "users" : "tokens")} add NAME` creates it");
            }

            if (settings.UsersFile.Length > 0)
            {
                PrivateText.WarnOfReaders("--users-file", settings.UsersFile, complain);
            }

            var path = serve.Database + ".sessions";
            var kept = !settings.HasLogin ? SessionFileModule.empty
                : shared is null ? ReadSessions(path, complain)
                : shared.Open(viewerPassword);

            if (kept is null)
            {
                return FSharpResult<Parts, string>.NewError($"--state: {shared!.Reason}");
            }

            var viewers = viewerPassword.Length == 0 ? null : Account.Viewers(Same(viewerPassword, kept) ?? Passwords.Hash(viewerPassword));
            var accounts = settings.HasLogin ? new Accounts(users, viewers, settings.HasProvider ? new ProviderAccounts(settings.Oidc) : null) : null;
            var sessions = accounts is null ? null : new Sessions(path, kept, shared, accounts, viewers, clock, complain);

            return settings.TlsCertificate.Length == 0
                ? FSharpResult<Parts, string>.NewOk(new Parts(users, tokens, accounts, sessions, null, secret))
                : TlsCertificates.Open(settings.TlsCertificate, settings.TlsKey, clock, complain)
                    .Select(tls => new Parts(users, tokens, accounts, sessions, tls, secret));
        }

        private static WatchedFiles<T>? Watch<T>(
            string option, string path, Func<byte[][], FSharpResult<T, string>> parse, Action<string> complain)
            where T : class =>
            path.Length == 0 ? null : new WatchedFiles<T>(option, [path], Credentials.LongestFile, parse, complain);

        /// <summary>The same in the state that several dashboards share; null where it is not to be there.</summary>
        private static WatchedFiles<T>? Watch<T>(
            AccessSettings settings,
            SharedSessions? shared,
            string setting,
            Func<byte[][], FSharpResult<T, string>> parse,
            AgentClock clock,
            Action<string> complain)
            where T : class
        {
            if (!settings.AccountsInState || shared is null)
            {
                return null;
            }

            var source = new SharedCredentials(shared.State, setting, clock);
            return new WatchedFiles<T>("--accounts-in-state", [setting], Credentials.LongestFile, parse, complain) { From = source.Read };
        }

        /// <summary>What was kept of the viewers' password the last time, if it is still the same.</summary>
        private static PasswordHash? Same(string password, SessionFile kept) =>
            kept.ViewerPassword.OrNull() is { } before && before.Iterations == Credentials.Iterations && Passwords.Matches(password, before)
                ? before
                : null;

        private static SessionFile ReadSessions(string path, Action<string> complain)
        {
            try
            {
                return !File.Exists(path) ? SessionFileModule.empty
                    : new FileInfo(path).Length > SessionFileModule.LongestFile ? SessionFileModule.empty
                    : SessionFileModule.Parse(File.ReadAllText(path, Encoding.UTF8));
            }
            catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
            {
                complain($"\"{path}\" cannot be read, so everybody has to log in again: {unreadable.Message}");
                return SessionFileModule.empty;
            }
        }
    }
}
