using System.Collections.Concurrent;
using System.Text;
using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>The bearer tokens of scripts, from a file.</summary>
internal sealed class AccessTokens
{
    private readonly WatchedFiles<Dictionary<string, AccessToken>> file;
    private readonly ConcurrentDictionary<string, CancellationTokenSource> lives = new(StringComparer.Ordinal);

    /// <summary>The tokens of a file that was opened.</summary>
    public AccessTokens(WatchedFiles<Dictionary<string, AccessToken>> file)
    {
        this.file = file;
        file.OnChange = EndRemoved;
    }

    /// <summary>Whoever has this token; null for none. A token may have been made a moment ago.</summary>
    public Identity? Find(string token)
    {
        var key = Key(Registrations.Hash(token));

        if (!file.Current.TryGetValue(key, out var known) && !(file.Poll() && file.Current.TryGetValue(key, out known)))
        {
            return null;
        }

        return new Identity(known.Name, known.Role, lives.GetOrAdd(key, static _ => new CancellationTokenSource()).Token);
    }

    /// <summary>The credentials of `Authorization: Bearer`; empty for none.</summary>
    public static string In(HttpRequest request)
    {
        var token = RegistrationModule.TokenIn("", request.Headers.Authorization.ToString());
        return token.IsValueSome ? token.Value : "";
    }

    /// <summary>The tokens of a file by their hashes, or what is wrong with it.</summary>
    public static FSharpResult<Dictionary<string, AccessToken>, string> Read(byte[][] contents) =>
        Credentials.Tokens(Encoding.UTF8.GetString(contents[0]))
            .Select(static tokens => tokens
                .DistinctBy(static token => Key(token.Hash))
                .ToDictionary(static token => Key(token.Hash), StringComparer.Ordinal));

    /// <summary>Tokens are looked up by a hash, so that the time of a look-up says nothing about the token.</summary>
    private static string Key(byte[] hash) => Convert.ToHexString(hash);

    private void EndRemoved(Dictionary<string, AccessToken> tokens)
    {
        foreach (var (key, life) in lives)
        {
            if (!tokens.ContainsKey(key) && lives.TryRemove(key, out _))
            {
                life.Cancel();
            }
        }
    }
}
