namespace Agent.Dashboard.Alerting;

/// <summary>Why a connection or a conversation failed, in one line.</summary>
internal static class NetworkReason
{
    /// <summary>The first line of what the exception says, and of the innermost one where that says more.</summary>
    public static string Of(Exception failure)
    {
        var inner = failure;

        while (inner.InnerException is { } next)
        {
            inner = next;
        }

        var (said, cause) = (FirstLine(failure), FirstLine(inner));
        return said.Contains(cause, StringComparison.Ordinal) ? said : $"{said}: {cause}";
    }

    private static string FirstLine(Exception failure) => failure.Message.Split('\n')[0].Trim().TrimEnd('.');
}
