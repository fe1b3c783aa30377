using System.Net;
using System.Text;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>What goes with bodies: the same object until something of it changes.</summary>
/// <param name="headers">Names and values, in order.</param>
/// <param name="secrets">
/// What must be in nothing that is printed, the shortest of it of a length that is no word by chance.
/// </param>
/// <param name="isStatusEnough">
/// True where a success counts by its status, as a refusal always does, and its body is only advice.
/// </param>
internal sealed class RequestParts((string Name, string Value)[] headers, string[] secrets, bool isStatusEnough = false)
{
    /// <summary>Whether the body of an answer with this status may be cut off or unreadable.</summary>
    public bool IsEnough(int status) => isStatusEnough || status >= (int)HttpStatusCode.Ambiguous;

    /// <summary>Names and values, in order.</summary>
    public (string Name, string Value)[] Headers { get; } = headers;

    /// <summary>The secrets as text.</summary>
    public string[] Secrets { get; } = secrets;

    /// <summary>The secrets as they stand in a body.</summary>
    public byte[][] EncodedSecrets { get; } = [.. secrets.Select(Encoding.UTF8.GetBytes)];
}

/// <summary>Where bodies go, and what goes with them. Used by one thread at a time.</summary>
internal interface IRequestTemplate
{
    /// <summary>Where they go.</summary>
    Uri Endpoint { get; }

    /// <summary>What goes with the next one.</summary>
    RequestParts Parts { get; }

    /// <summary>Looks for new secrets after a refusal; true when there are any.</summary>
    bool Refresh();
}

/// <summary>A sample for the webapp.</summary>
internal sealed class IngestTemplate(Target target, TokenSource token) : IRequestTemplate
{
    private const string Json = "application/json";

    /// <summary>A shorter one than any real token might be a word of the answer.</summary>
    private const int ShortestToken = 8;

    private Secret? shown;
    private RequestParts? parts;

    /// <inheritdoc/>
    public Uri Endpoint => target.Endpoint;

    /// <inheritdoc/>
    public RequestParts Parts
    {
        get
        {
            var secret = token.Current;

            if (parts is null || !ReferenceEquals(secret, shown))
            {
                shown = secret;
                parts = PartsWith(secret.Reveal());
            }

            return parts;
        }
    }

    /// <inheritdoc/>
    public bool Refresh() => token.Refresh();

    private static RequestParts PartsWith(string token) => new(
        [("Accept", Json), ("X-Monitoring-Token", token), ("Content-Type", Json)],
        token.Length >= ShortestToken ? [token] : []);
}

/// <summary>Metrics for a receiver.</summary>
/// <param name="endpoint">Where it takes them.</param>
/// <param name="source">The user's own headers: tenants and tokens; null for none.</param>
/// <param name="own">What the protocol wants, names and values, after the user's.</param>
internal sealed class ReceiverTemplate(Uri endpoint, HeaderSource? source, (string Name, string Value)[] own) : IRequestTemplate
{
    /// <summary>Tenants may be short names; a shorter value is no secret.</summary>
    private const int ShortestSecret = 4;

    private (string Name, string Value)[] own = own;
    private (string, Secret)[]? shown;
    private RequestParts? parts;

    /// <inheritdoc/>
    public Uri Endpoint => endpoint;

    /// <inheritdoc/>
    public RequestParts Parts
    {
        get
        {
            var headers = source?.Current ?? [];

            if (parts is null || !ReferenceEquals(headers, shown))
            {
                shown = headers;
                parts = PartsWith([.. headers.Select(static header => (header.Item1, header.Item2.Reveal()))]);
            }

            return parts;
        }
    }

    /// <summary>For series by remote-write.</summary>
    public static ReceiverTemplate RemoteWrite(Uri endpoint, HeaderSource? source) =>
        new(endpoint, source, Outbound.RemoteWrite.Headers(RemoteWriteVersion.Two));

    /// <summary>For metrics by OTLP.</summary>
    public static ReceiverTemplate Otlp(Uri endpoint, HeaderSource? source) => new(
        endpoint, source, [("Content-Type", Sender.Otlp.ContentType), ("Content-Encoding", Sender.Otlp.ContentEncoding)]);

    /// <summary>What the protocol wants from now on.</summary>
    public void Speak((string Name, string Value)[] headers)
    {
        own = headers;
        parts = null;
    }

    /// <inheritdoc/>
    public bool Refresh() => source?.Refresh() ?? false;

    private RequestParts PartsWith((string Name, string Value)[] headers) => new(
        [.. headers, .. own],
        [
            .. from header in headers

               // Of "Bearer …" and the like the second word is the secret.
               from secret in (string[])[header.Value, header.Value[(header.Value.IndexOf(' ') + 1)..]]
               where secret.Length >= ShortestSecret
               select secret,
        ],
        isStatusEnough: true);
}
