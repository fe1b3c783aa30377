using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>A question to the URL that carries neither token nor sample.</summary>
internal sealed partial class SampleClient
{
    /// <summary>
    /// Why the webapp answers 404, as far as a GET of the same URL tells; none when there is no answer within the limit.
    /// </summary>
    public FSharpValueOption<Cause> AskForRoute(TimeSpan longest, CancellationToken stop)
    {
        using var limit = new CancellationTokenSource(longest < timeout ? longest : timeout, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, stop);

        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, form.Endpoint);
            using var response = http.Send(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            var allow = response.Content.Headers.NonValidated.TryGetValues("Allow", out var values) ? values.ToString() : "";
            return FSharpValueOption<Cause>.NewValueSome(Advice.OfRoute((int)response.StatusCode, allow));
        }
        catch (Exception error) when (error is OperationCanceledException or HttpRequestException or IOException)
        {
            return FSharpValueOption<Cause>.None;
        }
    }
}
