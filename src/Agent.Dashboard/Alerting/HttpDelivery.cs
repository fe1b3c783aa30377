using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using Agent.Receiver.Alerts;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Alerting;

/// <summary>
/// Sends messages over HTTP. Redirects are not followed, and there are no cookies and no proxy: a secret goes to the host that was named and
/// to no other.
/// </summary>
internal sealed class HttpDelivery : IDisposable
{
    private const int LongestAnswer = 4096;

    private readonly string linkBase;
    private readonly AgentClock clock;
    private readonly HttpClient client;

    /// <summary>For messages whose links begin with <paramref name="linkBase"/>.</summary>
    public HttpDelivery(string linkBase, string version, AgentClock clock)
    {
        this.linkBase = linkBase;
        this.clock = clock;
        client = OutwardHttp.Client(version, connections: 4, TimeSpan.FromSeconds(20), DecompressionMethods.None);
    }

    /// <summary>Makes one attempt; never throws for what the other side does.</summary>
    public async Task<AttemptEnd> Send(
        HttpChannel channel, ChannelSecrets secrets, string id, Notice[] notices, CancellationToken stop)
    {
        var end = AttemptEnd.NewDelivered("");

        foreach (var request in ChannelRequests.Make(channel, secrets, linkBase, id, notices, clock.GetUtcNow()))
        {
            end = await Send(request, stop);

            if (!end.IsDelivered)
            {
                return end;
            }
        }

        return end;
    }

    /// <inheritdoc/>
    public void Dispose() => client.Dispose();

    private async Task<AttemptEnd> Send(ChannelRequest request, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(Channel.Deadline, clock);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(late.Token, stop);

        try
        {
            using var message = new HttpRequestMessage(HttpMethod.Post, request.Url) { Content = new ReadOnlyMemoryContent(request.Body) };
            message.Content.Headers.TryAddWithoutValidation("Content-Type", "application/json; charset=utf-8");

            foreach (var (name, value) in request.Headers)
            {
                message.Headers.TryAddWithoutValidation(name, value);
            }

            using var answer = await client.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, end.Token);
            return OutboxPlan.OfStatus((int)answer.StatusCode, await Beginning(answer, end.Token), Asked(answer));
        }
        catch (OperationCanceledException)
        {
            return Failed(late.IsCancellationRequested
                ? $"no answer within {Channel.Deadline.TotalSeconds:0} s"
                : "the dashboard stopped before there was an answer");
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or SocketException or AuthenticationException)
        {
            return Failed(NetworkReason.Of(failure));
        }
    }

    /// <summary>The beginning of what was answered; empty where the status was all that came.</summary>
    private static async Task<string> Beginning(HttpResponseMessage answer, CancellationToken stop)
    {
        try
        {
            using var body = await answer.Content.ReadAsStreamAsync(stop);
            var buffer = new byte[LongestAnswer];
            return Encoding.UTF8.GetString(buffer.AsSpan(0, await body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, stop)));
        }
        catch (Exception cut) when (cut is IOException or HttpRequestException or OperationCanceledException)
        {
            return "";
        }
    }

    private FSharpValueOption<TimeSpan> Asked(HttpResponseMessage answer)
    {
        var asked = answer.Headers.RetryAfter;
        return (asked?.Delta ?? (asked?.Date - clock.GetUtcNow())) is { } wait && wait > TimeSpan.Zero
            ? FSharpValueOption<TimeSpan>.NewValueSome(wait)
            : FSharpValueOption<TimeSpan>.None;
    }

    private static AttemptEnd Failed(string reason) => AttemptEnd.NewFailed(FSharpValueOption<TimeSpan>.None, reason);
}
