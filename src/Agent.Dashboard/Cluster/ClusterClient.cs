using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using Agent.Receiver.Cluster;
using Agent.Dashboard.Alerting;

namespace Agent.Dashboard.Cluster;

/// <summary>A cluster of metrics does not answer, or not as it should.</summary>
/// <param name="reason">Why, as part of a sentence.</param>
/// <param name="isTooMuch">Whether less may be asked for with better luck.</param>
internal sealed class ClusterException(string reason, bool isTooMuch = false) : Exception(reason)
{
    /// <summary>Whether the answer would be, or is, larger than the cluster gives or than is read here.</summary>
    public bool IsTooMuch { get; } = isTooMuch;
}

/// <summary>
/// Asks the API of a cluster of metrics. Redirects are not followed, and there are no cookies and no proxy: headers are secrets, and go to the host
/// that was named and to no other.
/// </summary>
internal sealed class ClusterClient : IDisposable
{
    /// <summary>For so long an answer is waited for.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);

    /// <summary>A longer answer is not read, unpacked, in bytes.</summary>
    private const int LongestAnswer = 128 << 20;

    private const int FirstBytes = 1 << 16;

    private readonly string api;
    private readonly Func<(string Name, string Value)[]> headers;
    private readonly AgentClock clock;
    private readonly HttpClient client;

    /// <summary>For the API below a URL.</summary>
    /// <param name="url">As it was given, without <c>/api/v1</c>.</param>
    /// <param name="headers">What each request has beside its own headers.</param>
    /// <param name="version">The program's.</param>
    /// <param name="clock">The receiver's.</param>
    public ClusterClient(string url, Func<(string Name, string Value)[]> headers, string version, AgentClock clock)
    {
        api = url + "/api/v1/";
        this.headers = headers;
        this.clock = clock;
        client = OutwardHttp.Client(version, connections: 8, TimeSpan.FromSeconds(60), DecompressionMethods.GZip);
    }

    /// <summary>The series at an instant, or as they were stored up to it.</summary>
    /// <exception cref="ClusterException">There is no answer of use.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    public ClusterAnswer At(string query, long at, CancellationToken stop) => Ask("query", Promql.InstantForm(query, at), stop);

    /// <summary>The series along an axis; <paramref name="form"/> is the request's body.</summary>
    /// <exception cref="ClusterException">There is no answer of use.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    public ClusterAnswer Along(string form, CancellationToken stop) => Ask("query_range", form, stop);

    /// <inheritdoc/>
    public void Dispose() => client.Dispose();

    private ClusterAnswer Ask(string path, string form, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(Deadline, clock);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(late.Token, stop);

        try
        {
            using var message = new HttpRequestMessage(HttpMethod.Post, api + path)
            {
                Content = new ReadOnlyMemoryContent(System.Text.Encoding.ASCII.GetBytes(form)),
            };
            message.Content.Headers.TryAddWithoutValidation("Content-Type", "application/x-www-form-urlencoded");

            foreach (var (name, value) in headers())
            {
                message.Headers.TryAddWithoutValidation(name, value);
            }

            using var answer = client.Send(message, HttpCompletionOption.ResponseHeadersRead, end.Token);
            return Read(answer, end.Token);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested)
        {
            throw new ClusterException($"no answer within {Deadline.TotalSeconds:0} s");
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or SocketException or AuthenticationException)
        {
            throw new ClusterException(NetworkReason.Of(failure));
        }
    }

    private static ClusterAnswer Read(HttpResponseMessage answer, CancellationToken stop)
    {
        var status = (int)answer.StatusCode;

        if (status is >= 300 and < 400)
        {
            throw new ClusterException(ClusterAnswers.Redirected(status, answer.Headers.Location?.OriginalString ?? ""));
        }

        var body = Body(answer, stop);

        if (status is < 200 or >= 300)
        {
            throw new ClusterException(ClusterAnswers.Refusal(status, body), ClusterAnswers.IsTooMuch(status));
        }

        return ClusterAnswers.Read(ClusterAnswers.most, ClusterReports.labels, body).Match(
            static good => good,
            static fault => throw new ClusterException(fault.Reason, fault.IsTooMuch));
    }

    private static ReadOnlyMemory<byte> Body(HttpResponseMessage answer, CancellationToken stop)
    {
        using var stream = answer.Content.ReadAsStream(stop);
        // A connection that says nothing more is cut, so that reading ends too.
        using var cut = stop.Register(static state => ((HttpResponseMessage)state!).Dispose(), answer);
        var buffer = new byte[FirstBytes];
        var length = 0;

        while (true)
        {
            int read;

            try
            {
                read = stream.Read(buffer, length, buffer.Length - length);
            }
            catch (Exception broken) when (stop.IsCancellationRequested && broken is IOException or ObjectDisposedException)
            {
                throw new OperationCanceledException(stop);
            }
            catch (InvalidDataException)
            {
                throw new ClusterException("its answer claims to be gzip, but is not");
            }

            if (read == 0)
            {
                return buffer.AsMemory(0, length);
            }

            length += read;

            if (length > LongestAnswer)
            {
                throw new ClusterException($"its answer is longer than {LongestAnswer >> 20} MiB", isTooMuch: true);
            }

            if (length == buffer.Length)
            {
                Array.Resize(ref buffer, buffer.Length * 2);
            }
        }
    }
}
