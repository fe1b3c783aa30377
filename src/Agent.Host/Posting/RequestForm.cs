using System.Net.Http.Headers;
using Agent.Core;

namespace Agent.Host.Posting;

/// <summary>Where bodies go, and what goes with them.</summary>
internal interface IRequestForm
{
    /// <summary>Where they go.</summary>
    Uri Endpoint { get; }

    /// <summary>What must be in nothing that is printed, the shortest of it of a length that is no word by chance.</summary>
    IEnumerable<string> Secrets { get; }

    /// <summary>Puts headers on a request.</summary>
    void Dress(HttpRequestMessage request);

    /// <summary>Looks for new secrets after a refusal; true when there are any.</summary>
    bool Refresh();
}

/// <summary>A sample for the webapp.</summary>
internal sealed class IngestForm(Target target, TokenSource token) : IRequestForm
{
    /// <summary>A shorter one than any real token might be a word of the answer.</summary>
    private const int ShortestToken = 8;

    private static readonly MediaTypeHeaderValue Json = new("application/json");
    private static readonly MediaTypeWithQualityHeaderValue Wanted = new("application/json");

    /// <inheritdoc/>
    public Uri Endpoint => target.Endpoint;

    /// <inheritdoc/>
    public IEnumerable<string> Secrets => token.Current.Reveal() is { Length: >= ShortestToken } secret ? [secret] : [];

    /// <inheritdoc/>
    public void Dress(HttpRequestMessage request)
    {
        request.Headers.Accept.Add(Wanted);
        request.Headers.Add("X-Monitoring-Token", token.Current.Reveal());

        if (request.Content is { } content)
        {
            content.Headers.ContentType = Json;
        }
    }

    /// <inheritdoc/>
    public bool Refresh() => token.Refresh();
}

/// <summary>Series for a remote-write receiver.</summary>
/// <param name="endpoint">Where it takes them.</param>
/// <param name="headers">The user's own headers: tenants and tokens; null for none.</param>
internal sealed class RemoteWriteForm(Uri endpoint, HeaderSource? headers) : IRequestForm
{
    /// <summary>Tenants may be short names; a shorter value is no secret.</summary>
    private const int ShortestSecret = 4;

    private static readonly MediaTypeHeaderValue Protobuf = new(RemoteWrite.ContentType);

    /// <inheritdoc/>
    public Uri Endpoint => endpoint;

    /// <inheritdoc/>
    public IEnumerable<string> Secrets =>
        from header in headers?.Current ?? []
        let value = header.Item2.Reveal()

        // Of "Bearer …" and the like the second word is the secret.
        from secret in (string[])[value, value[(value.IndexOf(' ') + 1)..]]
        where secret.Length >= ShortestSecret
        select secret;

    /// <inheritdoc/>
    public void Dress(HttpRequestMessage request)
    {
        request.Headers.TryAddWithoutValidation(RemoteWrite.VersionHeader, RemoteWrite.Version);

        foreach (var (name, value) in headers?.Current ?? [])
        {
            request.Headers.TryAddWithoutValidation(name, value.Reveal());
        }

        if (request.Content is { } content)
        {
            content.Headers.ContentType = Protobuf;
            content.Headers.ContentEncoding.Add(RemoteWrite.ContentEncoding);
        }
    }

    /// <inheritdoc/>
    public bool Refresh() => headers?.Refresh() ?? false;
}
