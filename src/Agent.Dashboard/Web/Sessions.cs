using System.Security.Cryptography;
using System.Text;
using Agent.Dashboard.State;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>
/// Log-ins that last. They are kept by the hash of a random token, in a file beside the database or in the state that several dashboards share, and so
/// survive a restart. What was begun with one ends with it.
/// </summary>
internal sealed class Sessions
{
    private readonly string path;
    private readonly Accounts accounts;
    private readonly AgentClock clock;
    private readonly Action<string> complain;
    private readonly Account? viewers;
    private readonly SharedSessions? shared;
    private readonly Lock gate = new();
    private readonly Dictionary<string, (SessionRecord Record, CancellationTokenSource Life)> open = new(StringComparer.Ordinal);
    private bool isWritable = true;
    private long taken = -1;

    /// <summary>
    /// All that the state has, as far as is known here: of accounts, too, that are not known yet, because whoever was added a moment ago has logged in elsewhere.
    /// </summary>
    private SessionRecord[] others = [];

    /// <summary>The sessions that a file has, of accounts that are still there with the same password.</summary>
    /// <param name="path">The file.</param>
    /// <param name="kept">What it held, or the state.</param>
    /// <param name="shared">The state, which then has them instead of the file; or null.</param>
    /// <param name="accounts">Those who may log in.</param>
    /// <param name="viewers">The viewers with one password, or null.</param>
    /// <param name="clock">The time.</param>
    /// <param name="complain">Takes sentences.</param>
    public Sessions(string path, SessionFile kept, SharedSessions? shared, Accounts accounts, Account? viewers, AgentClock clock, Action<string> complain)
    {
        this.path = path;
        this.shared = shared;
        this.accounts = accounts;
        this.viewers = viewers;
        DeviceKey = kept.DeviceKey.Length == Devices.KeyBytes ? kept.DeviceKey : RandomNumberGenerator.GetBytes(Devices.KeyBytes);
        this.clock = clock;
        this.complain = complain;
        others = shared is null ? [] : kept.Sessions;

        foreach (var record in kept.Sessions)
        {
            if (IsValid(record))
            {
                open[record.Key] = (record, new CancellationTokenSource());
            }
        }
    }

    /// <summary>Why log-ins cannot be kept, for answers.</summary>
    public string Reason => shared?.Reason ?? "";

    /// <summary>Whether several dashboards have them.</summary>
    public bool IsShared => shared is not null;

    /// <summary>What the cookies of devices are signed with; it lasts as long as the file, or the state.</summary>
    public byte[] DeviceKey { get; }

    /// <summary>How many there are.</summary>
    public int Count
    {
        get
        {
            lock (gate)
            {
                return open.Count;
            }
        }
    }

    /// <summary>Whoever the session of a request belongs to; null for nobody. One that was begun at another dashboard is looked for.</summary>
    public async ValueTask<Identity?> Find(HttpRequest request)
    {
        if (Known(request) is { } known || shared is null || request.Cookies[Access.SessionCookie] is not { Length: > 0 and <= 128 })
        {
            return Known(request);
        }

        Take(await shared.ChangedSoon());
        return Known(request);
    }

    private Identity? Known(HttpRequest request)
    {
        if (request.Cookies[Access.SessionCookie] is not { Length: > 0 and <= 128 } token)
        {
            return null;
        }

        (SessionRecord Record, CancellationTokenSource Life) session;

        lock (gate)
        {
            if (!open.TryGetValue(Key(token), out session))
            {
                return null;
            }
        }

        return session.Record.Ends > clock.GetUtcNow() && accounts.Of(session.Record) is { } account
            ? new Identity(account.Name, account.Role, session.Life.Token)
            : null;
    }

    /// <summary>Opens one, and returns its token; null where it cannot be kept.</summary>
    public async Task<string?> Open(Account account)
    {
        var token = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)).TrimEnd('=').Replace('+', '-').Replace('/', '_');
        var now = clock.GetUtcNow();
        var record = new SessionRecord(Key(token), now + Access.session, account.Stamp, account.Name);

        if (shared is not null && !await shared.Add(now, record))
        {
            return null;
        }

        lock (gate)
        {
            var kept = SessionFileModule.Add(now, record, [.. open.Values.Select(static session => session.Record)]);
            var keys = kept.Select(static session => session.Key).ToHashSet(StringComparer.Ordinal);
            Remove(session => !keys.Contains(session.Key));
            open[record.Key] = (record, new CancellationTokenSource());
            others = shared is null ? [] : [.. others, record];
            Save();
        }

        return token;
    }

    /// <summary>
    /// Ends the session of a request, and with it all others of the same user; those who share the viewers' password keep theirs.
    /// The user's name, or null where there was no session; and whether it has ended everywhere.
    /// </summary>
    public async Task<(string? Name, bool IsKept)> End(HttpRequest request)
    {
        if (request.Cookies[Access.SessionCookie] is not { Length: > 0 and <= 128 } token)
        {
            return (null, true);
        }

        if (shared is not null)
        {
            Take(await shared.ChangedSoon());
        }

        Func<SessionRecord, bool> isOver;
        string name;

        lock (gate)
        {
            if (!open.TryGetValue(Key(token), out var own))
            {
                return (null, true);
            }

            name = own.Record.Name;
            var key = own.Record.Key;
            isOver = session => session.Key == key || (name.Length > 0 && session.Name == name);
            Remove(isOver);
            others = [.. others.Where(session => !isOver(session))];
            Save();
        }

        return (name, shared is null || await shared.End(isOver));
    }

    /// <summary>Takes over what other dashboards have changed, where there are others.</summary>
    public void Refresh()
    {
        if (shared is not null)
        {
            Take(shared.Changed().Result);

            lock (gate)
            {
                Admit();
            }
        }
    }

    /// <summary>Ends those that are over, and those of accounts that are gone or have another password.</summary>
    public void EndInvalid()
    {
        lock (gate)
        {
            if (Remove(session => !IsValid(session)))
            {
                Save();
            }
        }
    }

    private static string Key(string token) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(token)));

    private bool IsValid(SessionRecord session) =>
        session.Ends > clock.GetUtcNow() && accounts.Of(session) is not null;

    private bool Remove(Func<SessionRecord, bool> isOver)
    {
        var over = open.Values.Where(session => isOver(session.Record)).ToArray();

        foreach (var (record, life) in over)
        {
            open.Remove(record.Key);
            // On another thread: what ends with it must not run within the lock.
            _ = life.CancelAsync();
        }

        return over.Length > 0;
    }

    /// <summary>Makes those that are open the ones that there are.</summary>
    private void Take(SessionsRead? read)
    {
        if (read is null)
        {
            return;
        }

        lock (gate)
        {
            // Of two that were read one after the other, the first may come last.
            if (read.Version < taken)
            {
                return;
            }

            taken = read.Version;
            others = read.All;
            var keys = others.Select(static record => record.Key).ToHashSet(StringComparer.Ordinal);
            Remove(session => !keys.Contains(session.Key));
            Admit();
        }
    }

    /// <summary>Opens what the state has of accounts that are known by now. Within the lock.</summary>
    private void Admit()
    {
        foreach (var record in others)
        {
            if (!open.ContainsKey(record.Key) && IsValid(record))
            {
                open[record.Key] = (record, new CancellationTokenSource());
            }
        }
    }

    private void Save()
    {
        if (shared is not null)
        {
            return;
        }

        try
        {
            var records = open.Values.Select(static session => session.Record).ToArray();
            PrivateText.Write(path, SessionFileModule.Text(new SessionFile(Maybe.Of(viewers?.Password), DeviceKey, records)));
            isWritable = true;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            if (isWritable)
            {
                complain($"\"{path}\" cannot be written, so sessions do not survive a restart: {FaultReason.Of(failure)}");
            }

            isWritable = false;
        }
    }
}
