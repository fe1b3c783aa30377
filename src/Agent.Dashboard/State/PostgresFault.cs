using System.Net.Sockets;
using System.Security.Authentication;
using Agent.Receiver;
using Npgsql;

namespace Agent.Dashboard.State;

/// <summary>What goes wrong with PostgreSQL, as opposed to defects of this program.</summary>
internal static class PostgresFault
{
    /// <summary>Whether an exception says that PostgreSQL, or the way to it, does not work.</summary>
    public static bool IsOne(Exception failure) =>
        failure is NpgsqlException or SocketException or IOException or TimeoutException or AuthenticationException
        || failure is InvalidOperationException { Source: "Npgsql" };

    /// <summary>Why it does not work, and what to do where that is known, as part of a sentence. A certificate that was refused is looked at.</summary>
    public static string Reason(Exception failure, StateAddress address) => StateFaultModule.Sentence(
        address,
        (failure.InnerException is AuthenticationException ? PostgresCertificate.Fault(address) : null) ?? StateFaultModule.OfWords(Words(failure)));

    private static string Words(Exception failure) => failure switch
    {
        PostgresException said => $"{said.MessageText} (SQLSTATE {said.SqlState})",
        { InnerException: { } inner } => $"{failure.Message.TrimEnd('.')}: {inner.Message.TrimEnd('.')}",
        _ => failure.Message.TrimEnd('.'),
    };
}
