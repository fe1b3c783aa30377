using Agent.Core;
using Agent.Sender;
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
            var head = transport.Ask(either.Token);
            return FSharpValueOption<Cause>.NewValueSome(Advice.OfRoute(head.Status, head.Allow));
        }
        catch (Exception error) when (IsEndOf(error, either.Token) || IsOfNetwork(error))
        {
            return FSharpValueOption<Cause>.None;
        }
    }
}
