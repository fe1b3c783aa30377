using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Authentication;
using Agent.Outbound;
using Agent.Receiver.Cluster;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Cluster;

/// <summary>
/// Posts requests of remote-write to a cluster of metrics. Redirects are not followed, and there are no cookies and no proxy: headers are secrets, and go
/// to the host that was named and to no other. For one thread.
/// </summary>
internal sealed class RemoteWriteClient : IDisposable
{
    /// <summary>For so long an answer is waited for.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(ClusterRelay.DeadlineSeconds);

    /// <summary>So much of an answer is read, in bytes.</summary>
    private const int LongestAnswer = 65536;

    private readonly Uri url;
    private readonly Func<(string Name, string Value)[]> headers;
    private readonly AgentClock clock;
    private readonly CancellationToken stop;
    private readonly HttpClient client;
    private readonly Failures failures;

    /// <summary>For a URL that takes remote-write.</summary>
    /// <param name="url">As it was given.</param>
    /// <param name="headers">What each request has beside its own headers.</param>
    /// <param name="version">The program's.</param>
    /// <param name="clock">The receiver's.</param>
    /// <param name="stop">Ends the request that is in flight.</param>
    public RemoteWriteClient(
        string url, Func<(string Name, string Value)[]> headers, string version, AgentClock clock, CancellationToken stop)
    {
        this.url = new Uri(url);
        this.headers = headers;
        this.clock = clock;
        this.stop = stop;
        client = OutwardHttp.Client(version, connections: 1, TimeSpan.FromSeconds(60), DecompressionMethods.GZip);
        failures = new Failures(this.url, proxy: null);
    }

    /// <summary>Bytes of bodies that were sent.</summary>
    public long Sent { get; private set; }

    /// <summary>Makes one request of a body that is compressed.</summary>
    /// <exception cref="OperationCanceledException">The program ends.</exception>
    public Exchange Send(RemoteWriteVersion version, ReadOnlyMemory<byte> body)
    {
        using var late = new CancellationTokenSource(Deadline, clock);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(late.Token, stop);

        try
        {
            using var message = new HttpRequestMessage(HttpMethod.Post, url) { Content = new ReadOnlyMemoryContent(body) };

            foreach (var (name, value) in headers().Concat(RemoteWrite.Headers(version)))
            {
                if (!message.Headers.TryAddWithoutValidation(name, value))
                {
                    message.Content.Headers.TryAddWithoutValidation(name, value);
                }
            }

            Sent += body.Length;
            using var answer = client.Send(message, HttpCompletionOption.ResponseHeadersRead, end.Token);
            return Exchange.NewAnswered(Read(answer, end.Token));
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return Exchange.NewFailed(NetworkFailure.NewTimedOut(Deadline));
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or AuthenticationException)
        {
            return Exchange.NewFailed(failures.Of(failure));
        }
    }

    /// <inheritdoc/>
    public void Dispose() => client.Dispose();

    private static Answer Read(HttpResponseMessage answer, CancellationToken stop)
    {
        using var stream = answer.Content.ReadAsStream(stop);
        // A connection that says nothing more is cut, so that reading ends too.
        using var cut = stop.Register(static state => ((HttpResponseMessage)state!).Dispose(), answer);
        var body = new byte[LongestAnswer];
        int length;

        try
        {
            length = stream.ReadAtLeast(body, body.Length, throwOnEndOfStream: false);
        }
        catch (Exception broken) when (stop.IsCancellationRequested && broken is IOException or ObjectDisposedException)
        {
            throw new OperationCanceledException(stop);
        }
        catch (InvalidDataException)
        {
            // What was packed wrongly is told by its status alone.
            length = 0;
        }

        return new Answer(
            (int)answer.StatusCode,
            First(answer.Headers, "Retry-After"),
            First(answer.Headers, "Location"),
            First(answer.Headers, "Date"),
            long.TryParse(First(answer.Headers, RemoteWrite.SamplesWrittenHeader), NumberStyles.None, CultureInfo.InvariantCulture, out var written)
                ? FSharpValueOption<long>.NewValueSome(written)
                : FSharpValueOption<long>.None,
            body.AsMemory(0, length),
            wasSentTwice: false);
    }

    private static string First(HttpHeaders headers, string name) =>
        headers.NonValidated.TryGetValues(name, out var values) ? values.ToString() : "";
}
